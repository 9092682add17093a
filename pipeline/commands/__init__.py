"""The commands. Each parses its options, calls the implementation, and prints the result."""
