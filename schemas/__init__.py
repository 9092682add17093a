"""What stages hand to each other: artifacts, the record, the data contract, settings and errors."""
