"""Artifacts on disk: commit, find, verify, garbage collection."""

from pipeline.store.store import Store, facts, from_facts

__all__ = ["Store", "facts", "from_facts"]
