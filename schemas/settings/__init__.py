"""Typed settings, one file per stage or subsystem."""
