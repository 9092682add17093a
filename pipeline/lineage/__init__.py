"""Runs and their executions, in SQL."""

from pipeline.lineage.lineage import Lineage, now

__all__ = ["Lineage", "now"]
