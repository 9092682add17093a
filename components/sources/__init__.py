"""Readers of labelled images, one kind per file."""
