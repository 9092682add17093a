"""Loads and calls a SavedModel in a clean process."""
