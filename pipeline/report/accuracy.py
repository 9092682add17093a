"""Rows of the tables of accuracy: overall, by class, by slice, under corruptions, and on fresh images.

classes(facts)      # [{"name": "overall", "candidate": ROW, "baseline": ROW or None, "difference": 0.0012}, ...]
"""

import re
from typing import Any

from pipeline.report import shortened
from pipeline.report.facts import Facts
from pipeline.report.gates import FEW
from schemas.artifacts import GalleryEntry

Json = dict[str, Any]

_CLASS = re.compile(r"label=(\d+)")


def classes(facts: Facts) -> list[Json]:
    """Rows of candidate and baseline: overall, then each class."""
    labels = sorted(int(match[1]) for name in facts.metrics["candidate"]["slices"] if (match := _CLASS.fullmatch(name)))
    name = lambda label: f"{label} {facts.named(label)}" if facts.names else str(label)  # noqa: E731
    return [
        _comparison_row(facts, "overall"),
        *(_comparison_row(facts, f"label={label}", name(label)) | {"label": label} for label in labels),
    ]


def lowest(facts: Facts) -> Json | None:
    """The class with the lowest accuracy."""
    rows = [row for row in classes(facts)[1:] if row["candidate"]["accuracy"] is not None]
    return min(rows, key=lambda row: float(row["candidate"]["accuracy"]), default=None)


def slices(facts: Facts) -> list[Json]:
    """Slices other than the labels, sorted by features, then accuracy. `few`: too few images to judge."""
    few = {gate.slice for gate in facts.gates if gate.verdict == FEW}
    rows = [
        _comparison_row(facts, name, facts.title(name)) | {"few": name in few, "features": features(name)}
        for name in facts.metrics["candidate"]["slices"]
        if not _CLASS.fullmatch(name)
    ]
    accuracy = lambda row: 1.0 if row["candidate"]["accuracy"] is None else row["candidate"]["accuracy"]  # noqa: E731
    return sorted(rows, key=lambda row: (row["features"], accuracy(row)))


def features(name: str) -> tuple[int, str]:
    """The number of features of a slice, and their names: "label=3, ink=below 0.1" is (2, "label, ink")."""
    parts = name.split(", ")
    return len(parts), ", ".join(part.split("=")[0] for part in parts)


def fresh(facts: Facts) -> list[Json]:
    """Rows of the fixed test split and of the fresh images. Empty if there are no fresh images."""
    if not facts.candidate or not facts.candidate["fresh"]:
        return []
    return [
        _comparison_row(facts, "overall", "the test split"),
        _comparison_row(facts, "fresh", facts.fresh or "fresh"),
    ]


def corruptions(facts: Facts) -> list[Json]:
    """Rows of candidate and baseline for each corruption."""
    baseline = facts.metrics.get("baseline", {}).get("corruptions", {})
    candidate = facts.metrics["candidate"]["corruptions"]
    return [{"name": name, "candidate": row, "baseline": baseline.get(name)} for name, row in candidate.items()]


def leaked(facts: Facts) -> Json | None:
    """Accuracy without and with the leaked test images. None if there are none."""
    if not facts.candidate or not facts.candidate["with_leaked"]:
        return None
    without, with_ = facts.candidate["overall"], facts.candidate["with_leaked"]
    return {"images": with_["count"] - without["count"], "without": without, "with": with_}


def samples(facts: Facts) -> dict[int, list[GalleryEntry]]:
    """The sample images by label, in the order of the labels, or of need if there are many."""
    by_label: dict[int, list[GalleryEntry]] = {}
    for entry in sorted(facts.gallery["samples"], key=lambda entry: entry.label):
        by_label.setdefault(entry.label, []).append(entry)
    if len(by_label) <= shortened.ROWS or not facts.candidate:
        return by_label
    order = [row["label"] for row in shortened.by_need(classes(facts))]
    return {label: by_label[label] for label in dict.fromkeys([*order, *by_label]) if label in by_label}


def known(interval: Any) -> bool:
    """Whether an interval has both ends."""
    return bool(interval) and None not in interval


def _comparison_row(facts: Facts, name: str, title: str | None = None) -> Json:
    def row(model: str) -> Json | None:
        metrics = facts.metrics.get(model)
        if not metrics:
            return None
        rows: dict[str, Json] = metrics["slices"] | {"overall": metrics["overall"], "fresh": metrics["fresh"]}
        return rows.get(name)

    candidate, baseline = row("candidate") or {}, row("baseline")
    both = baseline is not None and None not in (candidate["accuracy"], baseline["accuracy"])
    difference = candidate["accuracy"] - baseline["accuracy"] if both and baseline else None
    return {
        "name": title or name,
        "label": None,
        "few": False,
        "candidate": candidate,
        "baseline": baseline,
        "difference": difference,
    }
