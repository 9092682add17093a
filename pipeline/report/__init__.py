"""What a person reads: the terminal's tables and the report's page."""
