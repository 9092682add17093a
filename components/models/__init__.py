"""Model architectures, one kind per file."""
