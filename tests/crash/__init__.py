"""Runs that are killed at every point where they write, and faults of disk, clock and operator."""
