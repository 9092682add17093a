"""Times of a run in local time, as pages and tables show them."""

import datetime
from typing import Any


def local(moment: str) -> str:
    return datetime.datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def took(row: dict[str, Any]) -> str:
    if not row["finished"]:
        return ""
    seconds = (
        datetime.datetime.fromisoformat(row["finished"]) - datetime.datetime.fromisoformat(row["started"])
    ).total_seconds()
    return f"{seconds:.1f} s"
