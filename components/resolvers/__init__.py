"""Looks up, while planning, what is served, which spans are complete and what was tuned. Not stages."""
