"""Formats times and durations for pages and tables, in local time."""

import datetime
from typing import Any


def local(moment: str) -> str:
    """An ISO 8601 time in local time: "2026-11-22 03:00:00"."""
    return datetime.datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def took(row: dict[str, Any]) -> str:
    """The duration of a run: "16.3 s". Empty if it has not ended."""
    duration = seconds(row)
    return "" if duration is None else f"{duration:.1f} s"


def seconds(row: dict[str, Any]) -> float | None:
    """The duration of a run in seconds. None if it has not ended."""
    if not row["finished"]:
        return None
    started, finished = (datetime.datetime.fromisoformat(row[name]) for name in ("started", "finished"))
    return (finished - started).total_seconds()


def duration_text(seconds: float | None) -> str:
    """A human-readable duration: "0.7 s", "1 min 3 s", "2 h 5 min". Empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
