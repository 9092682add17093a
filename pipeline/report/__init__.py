"""The report's pages and the terminal's tables."""
