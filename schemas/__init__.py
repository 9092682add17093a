"""What stages exchange: artifacts, the record, the data contract, settings and errors."""
