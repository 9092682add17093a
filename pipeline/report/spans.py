"""The spans of new images in a run: whether each was trained on, and the reason if not.

rows = of(artifacts, decisions)     # [] if the run has no spans
rows[0]["fate"]                     # "trained on"
"""

from collections import Counter
from typing import Any

from pipeline.store.recorded import Recorded
from schemas.artifacts import Admission, Collected, Mixture, Span
from schemas.text import listed

Json = dict[str, Any]
TRAINED_ON, OUTSIDE, UNUSED, QUARANTINED, BROKEN = (
    "trained on",
    "outside the window",
    "not trained on",
    "quarantined",
    "cannot be read",
)
FAULTY = (QUARANTINED, BROKEN)
NEWEST = 30  # number of the newest spans, which are always listed


def of(artifacts: Recorded, decisions: list[Json]) -> list[Json]:
    """A row for each span, the newest last: `span`, `date`, `images`, `unreadable` (number of images set aside),
    `fate`, `why`, `fresh` (number of its images that are tested on), `warnings`, `measures`. `decisions`: rows of
    `Admission.rows()`, may be empty."""
    collected = artifacts.last(Collected)
    spans = collected.spans if collected else {}
    admission, mixture = artifacts.last(Admission), artifacts.last(Mixture)
    decided = {row["span"]: row for row in decisions if row["span"] in spans}
    names = dict.fromkeys([*decided, *spans])
    return [_row(name, spans[name], admission, mixture, decided.get(name, {})) for name in names]


def _row(name: str, span: Span, admission: Admission | None, mixture: Mixture | None, decision: Json) -> Json:
    drifted = admission.drifted.get(name) if admission else None
    if span.broken:
        outcome, why = BROKEN, span.broken
    elif admission and name in admission.quarantined:
        outcome, why = QUARANTINED, admission.quarantined[name]
    else:
        outcome, why = UNUSED if not mixture else TRAINED_ON if name in mixture.spans else OUTSIDE, ""
    fresh = span.splits.get("fresh") if mixture and mixture.fresh == name else None
    return {
        "span": name,
        "date": span.date,
        "images": span.count,
        "unreadable": span.unreadable,
        "fate": outcome,
        "why": why,
        "fresh": fresh.count if fresh else 0,
        "warnings": decision.get("warnings") or ([drifted] if drifted and not why else []),
        "measures": decision.get("measures", {}),
    }


def shown(rows: list[Json]) -> list[Json]:
    """The rows to list, the newest first: the newest spans, all with a fault, and all that the run did not use."""
    newest = len(rows) - NEWEST
    return [row for i, row in reversed(list(enumerate(rows))) if i >= newest or row["fate"] in (*FAULTY, UNUSED)]


def more(rows: list[Json]) -> str:
    """A summary of the rows not in `shown`: "and 370 more: 7 trained on, 363 outside the window". Or ""."""
    rest = Counter(row["fate"] for row in rows) - Counter(row["fate"] for row in shown(rows))
    return f"and {rest.total():,} more: {', '.join(f'{n:,} {outcome}' for outcome, n in rest.items())}" if rest else ""


def trained_on(rows: list[Json]) -> str:
    """The number of spans trained on, and those with a fault: "2 of 3 spans (span-0000 cannot be read)". Or ""."""
    if not rows:
        return ""
    counted = f"{sum(row['fate'] == TRAINED_ON for row in rows):,} of {len(rows):,} span{'s'[: len(rows) != 1]}"
    faults = {outcome: [row["span"] for row in reversed(rows) if row["fate"] == outcome] for outcome in FAULTY}
    faulty = "; ".join(f"{listed(names, 3)} {outcome}" for outcome, names in faults.items() if names)
    return f"{counted} ({faulty})" if faulty else counted


def new(rows: list[Json], known: set[str]) -> str:
    """The spans that are not `known`: "span-0007, span-0006 (quarantined)". Empty if there are none."""
    expected = (TRAINED_ON, UNUSED)
    newest_first = [row for row in reversed(rows) if row["span"] not in known]
    return listed([row["span"] + f" ({row['fate']})" * (row["fate"] not in expected) for row in newest_first], 3)


def remarks(row: Json) -> list[str]:
    """The reason, the images set aside and the warnings of a span, without its name."""
    count = row["unreadable"]
    aside = f"{count:,} image{'s'[: count != 1]} could not be read and {'was' if count == 1 else 'were'} set aside"
    texts = (row["why"], aside if count else "", *row["warnings"])
    return [text.removeprefix(row["span"]).lstrip(": ") for text in texts if text]


def limits(rows: list[Json]) -> dict[str, float]:
    """The limit of each measure of drift."""
    return {name: each["limit"] for row in rows for name, each in row["measures"].items()}
