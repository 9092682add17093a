"""A simulated month of the line: what arrives, what goes wrong, and what must be true at the end."""
