"""Formats times and durations for pages and tables, in local time."""

import datetime
from typing import Any


def local(moment: str) -> str:
    """An ISO 8601 time in local time: "2026-11-22 03:00:00"."""
    return datetime.datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def took(row: dict[str, Any]) -> str:
    """The duration of a run: "16.3 s". Empty if it has not ended."""
    if not row["finished"]:
        return ""
    seconds = (
        datetime.datetime.fromisoformat(row["finished"]) - datetime.datetime.fromisoformat(row["started"])
    ).total_seconds()
    return f"{seconds:.1f} s"
