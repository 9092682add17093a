"""Long tables, worst rows first, cut at `ROWS`.

by_need(rows)       # rows of `accuracy.classes` or `accuracy.slices`: overall, then the lowest accuracy first
list(gates(results))     # of a gate on many slices, those with the smallest margins, and a sentence on the others
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from schemas.artifacts import GateResult, ranked
from schemas.artifacts.evaluation import WORST

ROWS = 24  # of a table, or of one gate; the others are one click away, or only counted

Json = dict[str, Any]


def by_need(rows: Iterable[Json]) -> list[Json]:
    """Rows with the lowest accuracy first, of equal ones that with most images. The whole test split stays on top."""

    def need(row: Json) -> tuple[bool, float, int]:
        candidate = row["candidate"]
        accuracy = 1.0 if candidate["accuracy"] is None else float(candidate["accuracy"])
        return row["name"] != "overall", accuracy, -candidate["count"]

    return sorted(rows, key=need)


def families(results: Iterable[GateResult]) -> dict[str, list[GateResult]]:
    """The results by gate: "slices" has those of "slices.ink" and "slices.site"."""
    groups: dict[str, list[GateResult]] = {}
    for result in results:
        groups.setdefault(result.gate.partition(".")[0], []).append(result)
    return groups


def gates(results: Iterable[GateResult]) -> Iterator[GateResult | str]:
    """The results. Of a gate on many slices, those with the smallest margins and a summary of the others."""
    for group in families(results).values():
        if len(group) <= ROWS:
            yield from group
            continue
        order = ranked(group)
        yield from order[:WORST]
        yield f"and {len(order) - WORST:,} more: {counted(order[WORST:])}"


def counted(results: Iterable[GateResult]) -> str:
    """The number of results with each verdict: "3 refused, 90 passed"."""
    return ", ".join(f"{n:,} {verdict}" for verdict, n in Counter(gate.verdict for gate in results).items())
