"""Rows of the tables of accuracy: overall, by class, by slice, under corruptions, on fresh images; and of confusions.

classes(facts)      # [{"name": "overall", "candidate": ROW, "baseline": ROW or None, "difference": 0.0012}, ...]
"""

import re
from typing import Any

from pipeline.report.facts import Facts
from pipeline.report.gates import FEW

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


def confused(facts: Facts, most: int = 6) -> list[tuple[int, int, int]]:
    """(label, prediction, number of images) of the most common mistakes."""
    matrix = facts.metrics["candidate"]["confusion"]
    wrong = [
        (label, other, n) for label, row in enumerate(matrix) for other, n in enumerate(row) if n and other != label
    ]
    return sorted(wrong, key=lambda cell: -cell[2])[:most]


def heat(matrix: list[list[int]]) -> list[list[float]]:
    """The intensity of each cell in [0, 1]: of mistakes by their share of the label, of correct predictions 0."""
    shares = [[0 if i == j else n / (sum(row) or 1) for j, n in enumerate(row)] for i, row in enumerate(matrix)]
    highest = max((share for row in shares for share in row), default=0) or 1
    # The square root keeps rare mistakes visible beside very common ones.
    return [[round((share / highest) ** 0.5, 3) for share in row] for row in shares]


def leaked(facts: Facts) -> Json | None:
    """Accuracy without and with the leaked test images. None if there are none."""
    if not facts.candidate or not facts.candidate["with_leaked"]:
        return None
    without, with_ = facts.candidate["overall"], facts.candidate["with_leaked"]
    return {"images": with_["count"] - without["count"], "without": without, "with": with_}


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
