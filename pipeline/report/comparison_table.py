"""Prints the comparison of two runs in the terminal."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from pipeline.report import spans
from pipeline.report.compare import RunComparison, SliceChange
from pipeline.report.console import echo, new_table
from pipeline.report.shortened import ROWS
from pipeline.report.times import local
from schemas.contract import slice_title


def show(comparison: RunComparison) -> None:
    """Prints the result of the paired test, a table of all values that differ, and what cannot be compared."""
    if comparison.paired:
        colour = {"better": "bold green", "worse": "bold red"}.get(comparison.paired.verdict, "bold")
        echo(Text(f"run {comparison.runs[1]['run']}: {comparison.sentence}", colour))
    echo(_table(comparison))
    if comparison.damaged:
        echo(Text(f"damaged: {', '.join(comparison.damaged)}", "yellow"))
    if not comparison.configuration:
        echo(Text("the settings are the same", "dim"))
    if slices := comparison.slices:
        chance = f"; up to {by_chance:,} by chance" if (by_chance := len(slices) // 20) else ""
        counted = f"{len(_beyond_noise(comparison)):,} of {len(slices):,} slices"
        echo(Text(f"{counted} differ by more than noise (95 % interval{chance})", "dim"))


def _table(comparison: RunComparison) -> Table:
    """The rows by group; the name of a group is shown once."""
    table = new_table("", " ", *(f"run {run['run']}" for run in comparison.runs))
    last = ""
    for group, name, old, new in _rows(comparison):
        style = "dim" if old == new else ""
        table.add_row("" if group == last else group, *(Text(text, style) for text in (name, _shown(old), _shown(new))))
        last = group
    return table


def _rows(comparison: RunComparison) -> Iterator[tuple[str, str, Any, Any]]:
    """(group, name, old value, new value) of each row."""
    old, new = comparison.runs
    for key in ("profile", "state"):
        yield "run", key, old[key], new[key]
    yield "run", "started", local(old["started"]), local(new["started"])
    for each in comparison.configuration:
        yield "settings", each.name, each.old, each.new
    for each in comparison.data:
        yield "data", each.name, each.old, each.new
    for each in comparison.spans[: spans.NEWEST]:
        yield "spans", each.name, each.old or "absent", each.new or "absent"
    if (more := len(comparison.spans) - spans.NEWEST) > 0:
        yield "spans", f"and {more:,} more", "", ""
    for each in comparison.overall:
        yield "model", each.name, each.old, each.new
    beyond = _beyond_noise(comparison)
    for change in beyond[:ROWS]:
        yield "slices", slice_title(change.name, comparison.names), change.old, change.new
    if (more := len(beyond) - ROWS) > 0:
        yield "slices", f"and {more:,} more", "", ""


def _beyond_noise(comparison: RunComparison) -> list[SliceChange]:
    """The largest loss first."""
    return sorted((each for each in comparison.slices if each.beyond_noise), key=lambda each: each.difference or 0.0)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    decimals = f"{value:.4f}" if isinstance(value, float) and 0 < abs(value) < 10 else ""
    return str(value) if decimals in ("", "0.0000") else decimals
