"""What became of the spans of new images in a run: trained on, or left out, and why.

rows = of({"collect": FACTS, "admit": FACTS, "mix": FACTS}, judged)     # [] where a run has no spans
rows[0]["fate"]                                                         # "trained on"
"""

from collections import Counter
from typing import Any

Json = dict[str, Any]
LEARNT, OUTSIDE, UNUSED, QUARANTINED, BROKEN = (
    "trained on",
    "outside the window",
    "not trained on",
    "quarantined",
    "cannot be read",
)
FAULTY = (QUARANTINED, BROKEN)
NEWEST = 30  # as many of the newest are listed, whatever became of them


def of(facts: Json, judged: list[Json]) -> list[Json]:
    """A row for each span, the newest last: `span`, `date`, `images`, `fate`, `why`, `fresh` (number of its images that
    are tested on), `warnings`, `measures`. `facts`: by stage. `judged`: rows of admit's `spans.json`, may be empty."""
    spans = (facts.get("collect") or {}).get("spans") or {}
    found = {row["span"]: row for row in judged if row["span"] in spans}
    return [_row(name, spans[name], facts, found.get(name, {})) for name in dict.fromkeys([*found, *spans])]


def _row(name: str, span: Json, facts: Json, judged: Json) -> Json:
    admitted, mixed = facts.get("admit") or {}, facts.get("mix") or {}
    counts = {split: sum(each["counts"]) for split, each in span.get("splits", {}).items()}
    quarantined, drifted = admitted.get("quarantined", {}), admitted.get("drifted", {}).get(name)
    if span.get("broken"):
        fate, why = BROKEN, span["broken"]
    elif name in quarantined:
        fate, why = QUARANTINED, quarantined[name]
    else:
        fate, why = LEARNT if name in mixed.get("spans", ()) else OUTSIDE if mixed else UNUSED, ""
    return {
        "span": name,
        "date": span["date"],
        "images": sum(counts.values()),
        "fate": fate,
        "why": why,
        "fresh": counts.get("fresh", 0) if name == mixed.get("fresh") else 0,
        "warnings": judged.get("warnings") or ([drifted] if drifted and not why else []),
        "measures": judged.get("measures", {}),
    }


def shown(rows: list[Json]) -> list[Json]:
    """The spans to list, the newest first: the newest, all with a fault, and all that the run did not come to train on.
    Those outside the window are counted."""
    newest = len(rows) - NEWEST
    return [row for i, row in reversed(list(enumerate(rows))) if i >= newest or row["fate"] in (*FAULTY, UNUSED)]


def more(rows: list[Json]) -> str:
    """What `shown` leaves out: "and 370 more: 7 trained on, 363 outside the window"; empty where it is nothing."""
    rest = Counter(row["fate"] for row in rows) - Counter(row["fate"] for row in shown(rows))
    return f"and {rest.total():,} more: {', '.join(f'{n:,} {fate}' for fate, n in rest.items())}" if rest else ""


def learnt(rows: list[Json]) -> str:
    """How many of the spans, and which have a fault: "2 of 3 spans (span-0000 cannot be read)"; empty without spans."""
    if not rows:
        return ""
    counted = f"{sum(row['fate'] == LEARNT for row in rows):,} of {len(rows):,} span{'s'[: len(rows) != 1]}"
    faults = {fate: [row["span"] for row in reversed(rows) if row["fate"] == fate] for fate in FAULTY}
    said = "; ".join(f"{_few(names)} {fate}" for fate, names in faults.items() if names)
    return f"{counted} ({said})" if said else counted


def new(rows: list[Json], known: set[str]) -> str:
    """The spans that are not among the `known`: "span-0007, span-0006 (quarantined)"; empty where there are none."""
    usual = (LEARNT, UNUSED)
    return _few(
        [
            row["span"] + (f" ({row['fate']})" * (row["fate"] not in usual))
            for row in reversed(rows)
            if row["span"] not in known
        ]
    )


def said(row: Json) -> list[str]:
    """What is to be said of a span, its name left out."""
    return [words.removeprefix(row["span"]).lstrip(": ") for words in (row["why"], *row["warnings"]) if words]


def limits(rows: list[Json]) -> dict[str, float]:
    """The limit of each measure of drift."""
    return {name: each["limit"] for row in rows for name, each in row["measures"].items()}


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
