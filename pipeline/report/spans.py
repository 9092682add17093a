"""The spans of new images in a run: whether each was trained on, and the reason if not.

spans = rows(artifacts, decisions)     # [] if the run has no spans
spans[0].fate                          # "trained on"
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.store.recorded import RecordedArtifacts
from schemas.artifacts import Admission, Collected, Measure, Mixture, Span, SpanDecision
from schemas.text import listed

TRAINED_ON, OUTSIDE, UNUSED, QUARANTINED, BROKEN = (
    "trained on",
    "outside the window",
    "not trained on",
    "quarantined",
    "cannot be read",
)
FAULTY = (QUARANTINED, BROKEN)
NEWEST = 30  # number of the newest spans, which are always listed


@dataclass(frozen=True)
class SpanRow:
    """What became of one span."""

    span: str
    date: str
    images: int
    unreadable: int  # images that were set aside
    fate: str
    why: str  # the reason, if it has a fault
    fresh: int  # images that are tested on
    warnings: list[str]
    measures: dict[str, Measure]  # distances from the training data of the served model


def rows(artifacts: RecordedArtifacts, decisions: Iterable[SpanDecision]) -> list[SpanRow]:
    """A row for each span, the newest last. `decisions`: those of `Admission`; may be empty."""
    collected = artifacts.last(Collected)
    spans = collected.spans if collected else {}
    admission, mixture = artifacts.last(Admission), artifacts.last(Mixture)
    decided = {each.span: each for each in decisions if each.span in spans}
    names = dict.fromkeys([*decided, *spans])
    return [_row(name, spans[name], admission, mixture, decided.get(name)) for name in names]


def _row(
    name: str, span: Span, admission: Admission | None, mixture: Mixture | None, decision: SpanDecision | None
) -> SpanRow:
    fate, why = _fate(name, span, admission, mixture)
    drifted = admission.drifted.get(name) if admission else None
    fresh = span.splits.get("fresh") if mixture and mixture.fresh == name else None
    return SpanRow(
        span=name,
        date=span.date,
        images=span.count,
        unreadable=span.unreadable,
        fate=fate,
        why=why,
        fresh=fresh.count if fresh else 0,
        warnings=(decision.warnings if decision else []) or ([drifted] if drifted and not why else []),
        measures=decision.measures if decision else {},
    )


def _fate(name: str, span: Span, admission: Admission | None, mixture: Mixture | None) -> tuple[str, str]:
    """The fate of a span, and the reason if it has a fault."""
    if span.broken:
        return BROKEN, span.broken
    if admission and name in admission.quarantined:
        return QUARANTINED, admission.quarantined[name]
    return UNUSED if not mixture else TRAINED_ON if name in mixture.spans else OUTSIDE, ""


def shown(spans: Sequence[SpanRow]) -> list[SpanRow]:
    """The rows to list, the newest first: the newest spans, all with a fault, and all that the run did not use."""
    newest = len(spans) - NEWEST
    return [row for i, row in reversed(list(enumerate(spans))) if i >= newest or row.fate in (*FAULTY, UNUSED)]


def more(spans: Sequence[SpanRow]) -> str:
    """A summary of the rows not in `shown`: "and 370 more: 7 trained on, 363 outside the window". Or ""."""
    rest = Counter(row.fate for row in spans) - Counter(row.fate for row in shown(spans))
    return f"and {rest.total():,} more: {', '.join(f'{n:,} {outcome}' for outcome, n in rest.items())}" if rest else ""


def trained_on(spans: Sequence[SpanRow]) -> str:
    """The number of spans trained on, and those with a fault: "2 of 3 spans (span-0000 cannot be read)". Or ""."""
    if not spans:
        return ""
    counted = f"{sum(row.fate == TRAINED_ON for row in spans):,} of {len(spans):,} span{'s'[: len(spans) != 1]}"
    faults = {outcome: [row.span for row in reversed(spans) if row.fate == outcome] for outcome in FAULTY}
    faulty = "; ".join(f"{listed(names, 3)} {outcome}" for outcome, names in faults.items() if names)
    return f"{counted} ({faulty})" if faulty else counted


def new(spans: Sequence[SpanRow], known: set[str]) -> str:
    """The spans that are not `known`: "span-0007, span-0006 (quarantined)". Empty if there are none."""
    expected = (TRAINED_ON, UNUSED)
    newest_first = [row for row in reversed(spans) if row.span not in known]
    return listed([row.span + f" ({row.fate})" * (row.fate not in expected) for row in newest_first], 3)


def remarks(row: SpanRow) -> list[str]:
    """The reason, the images set aside and the warnings of a span, without its name."""
    count = row.unreadable
    aside = f"{count:,} image{'s'[: count != 1]} could not be read and {'was' if count == 1 else 'were'} set aside"
    texts = (row.why, aside if count else "", *row.warnings)
    return [text.removeprefix(row.span).lstrip(": ") for text in texts if text]


def limits(spans: Sequence[SpanRow]) -> dict[str, float]:
    """The limit of each measure of drift."""
    return {name: each.limit for row in spans for name, each in row.measures.items()}
