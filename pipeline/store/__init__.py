"""Artifacts on disk: commit, find, verify, garbage collection."""

from pipeline.store.store import Store, facts

__all__ = ["Store", "facts"]
