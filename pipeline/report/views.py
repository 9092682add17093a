"""From facts to what a reader sees: rows in the order in which they matter, and sentences.

classes(facts)      # [{"name": "overall", "candidate": ROW, "baseline": ROW or None, "difference": 0.0012}, ...]
limits(facts)       # ["Slice label=8, ink=below 0.1 has too few test images to judge (12).", ...]
"""

import re
from pathlib import Path
from typing import Any

from pipeline.report import spans
from pipeline.report.artifacts import recorded
from pipeline.report.facts import Facts
from schemas.artifacts import in_order
from schemas.files import MANIFEST

__all__ = ["in_order", "spans"]  # templates name them here

_CLASS = re.compile(r"label=(\d+)")


def gates(facts: Facts) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(shown, folded): refused gates first, then those that could not be judged. Classes are folded if all pass."""
    order = {"refused": 0, "too few examples": 1}
    rows = sorted(facts.gates, key=lambda gate: 0 if not gate["passed"] else order.get(gate["verdict"], 2))
    classes = [gate for gate in rows if gate["gate"] == "per_class"]
    if all(gate["verdict"] == "passed" for gate in classes) and len(classes) > 1:
        return [gate for gate in rows if gate["gate"] != "per_class"], classes
    return rows, []


def narrowest(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The gate that passed with the least to spare."""
    spare = [row for row in rows if row["margin"]]
    return min(spare, key=lambda row: _number(row["margin"]), default=None)


def classes(facts: Facts) -> list[dict[str, Any]]:
    """Overall, then each class, of candidate and baseline."""
    found = facts.metrics["candidate"]["slices"]
    labels = sorted(int(match[1]) for name in found if (match := _CLASS.fullmatch(name)))
    name = lambda label: f"{label} {facts.named(label)}" if facts.names else str(label)  # noqa: E731
    return [
        _beside(facts, "overall"),
        *(_beside(facts, f"label={label}", name(label)) | {"label": label} for label in labels),
    ]


def lowest(facts: Facts) -> dict[str, Any] | None:
    """The class of lowest accuracy."""
    rows = [row for row in classes(facts)[1:] if row["candidate"]["accuracy"] is not None]
    return min(rows, key=lambda row: float(row["candidate"]["accuracy"]), default=None)


def slices(facts: Facts) -> list[dict[str, Any]]:
    """Slices beyond the label, the lowest accuracy first within each slicing; `few`: too few images to judge."""
    few = {gate["slice"] for gate in facts.gates if gate["verdict"] == "too few examples"}
    rows = [
        _beside(facts, name, facts.title(name)) | {"few": name in few, "features": features(name)}
        for name in facts.metrics["candidate"]["slices"]
        if not _CLASS.fullmatch(name)
    ]
    lowest = [(row, 1.0 if row["candidate"]["accuracy"] is None else row["candidate"]["accuracy"]) for row in rows]
    return [row for row, _ in sorted(lowest, key=lambda pair: (pair[0]["features"], pair[1]))]


def features(name: str) -> tuple[int, str]:
    """How many features a slice has, and which: "label=3, ink=below 0.1" is (2, "label, ink")."""
    parts = name.split(", ")
    return len(parts), ", ".join(part.split("=")[0] for part in parts)


def fresh(facts: Facts) -> list[dict[str, Any]]:
    """The fixed test split and, below it, the fresh images; empty where there are none."""
    found = facts.candidate
    if not found or not found["fresh"]:
        return []
    return [_beside(facts, "overall", "the test split"), _beside(facts, "fresh", facts.fresh or "fresh")]


def fresh_gate(facts: Facts) -> str:
    """What the gate on fresh images asked for, and what came of it; empty where there is no such gate."""
    gate = next((gate for gate in facts.gates if gate["gate"] == "fresh"), None)
    if not gate or not gate["passed"]:
        return gate["words"] if gate else ""
    if gate["verdict"] == "passed":
        return f"gates.fresh asks for {gate['bound']:.4f}, and {gate['came']}, came: passed"
    why = "there is no span yet" if gate["value"] is None else "so few images cannot be judged"
    return f"gates.fresh asks for {gate['bound']:.4f}; {why}, so it refuses nothing"


def corruptions(facts: Facts) -> list[dict[str, Any]]:
    """Clean images, then each corruption."""
    baseline = facts.metrics.get("baseline", {}).get("corruptions", {})
    found = facts.metrics["candidate"]["corruptions"]
    return [{"name": name, "candidate": row, "baseline": baseline.get(name)} for name, row in found.items()]


def confused(facts: Facts, most: int = 6) -> list[tuple[int, int, int]]:
    """(label, prediction, images) of the commonest mistakes."""
    matrix = facts.metrics["candidate"]["confusion"]
    wrong = [
        (label, other, n) for label, row in enumerate(matrix) for other, n in enumerate(row) if n and other != label
    ]
    return sorted(wrong, key=lambda cell: -cell[2])[:most]


def heat(matrix: list[list[int]]) -> list[list[float]]:
    """Colour of each cell, 0 to 1: mistakes by their share of the label, the most common 1; right answers 0."""
    shares = [[0 if i == j else n / (sum(row) or 1) for j, n in enumerate(row)] for i, row in enumerate(matrix)]
    highest = max((share for row in shares for share in row), default=0) or 1
    return [
        [round((share / highest) ** 0.5, 3) for share in row] for row in shares
    ]  # a root, or one bad pair would hide the rest


def leaked(facts: Facts) -> dict[str, Any] | None:
    """Accuracy without and with the test images that the model may have trained on, or None where there are none."""
    found = facts.candidate
    if not found or not found["with_leaked"]:
        return None
    without, with_ = found["overall"], found["with_leaked"]
    return {"images": with_["count"] - without["count"], "without": without, "with": with_}


def samples(facts: Facts) -> dict[int, list[dict[str, Any]]]:
    """The sample images by label."""
    found: dict[int, list[dict[str, Any]]] = {}
    for entry in facts.gallery["samples"]:
        found.setdefault(entry["label"], []).append(entry)
    return dict(sorted(found.items()))


def comparisons(facts: Facts) -> list[dict[str, Any]]:
    """The comparisons with other models, each with its sentence `said`. One model that is served and best: once."""
    found = []
    baseline = (compared(facts, "baseline") or {}).get("version")
    for each in facts.comparisons:
        best = each["with"] == "best"
        words = f"against the best version ever served: {each['words']}" if best else each["words"]
        if best and each["version"] == baseline and each["by"] == "paired":
            budget = f"the budget of {100 * each['margin']:g} point{'s'[: each['margin'] != 0.01]}"
            within = "within" if each["verdict"] in ("better", "equivalent") else "not shown to be within"
            words = f"it is also the best version ever served; {within} {budget}"
        found.append(each | {"said": words})
    return found


def paired(facts: Facts) -> list[dict[str, Any]]:
    """Who was right on the same images, a row for each version; `best`: it is the best ever served."""
    found: dict[int, dict[str, Any]] = {}
    for each in facts.comparisons:
        if each["by"] == "paired":
            best = each["with"] == "best"
            found[each["version"]] = found.get(each["version"], each) | {"best": best}
    return list(found.values())


def absent(facts: Facts, stage: str, file: str, otherwise: str) -> str:
    """Why what a file of a stage would show is not here: gone, damaged, or what is said `otherwise`."""
    if stage in facts.missing:
        return f"What {stage} left is gone from the store, or was made again since."
    damaged = [name for name in facts.damaged.get(stage, ()) if name in (file, MANIFEST)]
    return f"{damaged[0]} of {stage} is damaged and cannot be read." if damaged else otherwise


def damaged(facts: Facts) -> list[str]:
    """The files that cannot be read, and whose they are."""
    return [f"{name} of {stage}" for stage, names in facts.damaged.items() for name in names]


def compared(facts: Facts, model: str) -> dict[str, Any] | None:
    """What was found beside "baseline" or "best"."""
    return next((found for found in facts.comparisons if found["with"] == model), None)


def served(facts: Facts) -> int | None:
    """The version that the candidate was compared with."""
    found = compared(facts, "baseline") or {}
    evaluated = next((stage["facts"] or {} for stage in facts.stages if stage["stage"] == "evaluate"), {})
    version: int | None = found.get("version") or evaluated.get("baseline")
    return version


def lineage(facts: Facts) -> list[dict[str, str]]:
    """Each artifact on the way from the data to the served version."""
    left = [stage for stage in facts.stages if stage["digest"]]
    return [
        {
            "stage": s["stage"],
            "what": _summary(s),
            "digest": s["digest"],
            "path": "/".join(Path(s["path"] or "").parts[-3:]),
        }
        for s in left
    ]


def seed(facts: Facts) -> int | None:
    found: int | None = (facts.run["config"] or {}).get("train", {}).get("seed")
    return found


def limits(facts: Facts) -> list[str]:
    """What this evaluation does not show."""
    found = facts.candidate
    if not found:
        lost = absent(facts, "evaluate", "metrics.json", "The run did not come to an evaluation.")
        return [f"{lost} Nothing is known of this model here."]
    said = []
    if known(interval := found["overall"]["interval"]):
        words = f"accuracy is known to within {interval[1] - interval[0]:.4f} (the width of its 95 % interval)"
        said.append(f"With {found['overall']['count']:,} test images, {words}; smaller slices are known less well.")
    few = [gate["on"] for gate in facts.gates if gate["verdict"] == "too few examples"]
    if few:
        said.append(f"Too few test images to judge: {'; '.join(few)}. These are shown, and no gate holds for them.")
    if rest := leaked(facts):
        said.append(f"{rest['images']:,} test images also stand in train or validation. The figures leave them out.")
    if not slices(facts):
        said.append("No slices beyond the label were looked at.")
    if found["corruptions"]:
        said.append(
            f"Robustness was measured under {', '.join(found['corruptions'])}, one severity each, and nothing else."
        )
    else:
        said.append("Robustness under corruptions was not measured.")
    if "baseline" not in facts.metrics:
        said.append("Nothing was served yet, so there was no model to compare with.")
    if row := found["fresh"]:
        said.append(f"The {row['count']:,} fresh images are of one span, {facts.fresh}.")
    every = "All other" if row else "All"
    said.append(
        f"{every} metrics are of one test split. Images of another origin, or of other classes, were not tested."
    )
    return said


def known(interval: Any) -> bool:
    """Whether an interval has both ends."""
    return bool(interval) and None not in interval


def _beside(facts: Facts, name: str, shown: str | None = None) -> dict[str, Any]:
    def row(model: str) -> dict[str, Any] | None:
        found = facts.metrics.get(model)
        every: dict[str, Any] = (
            found["slices"] | {"overall": found["overall"], "fresh": found["fresh"]} if found else {}
        )
        return every.get(name)

    candidate, baseline = row("candidate") or {}, row("baseline")
    both = baseline is not None and None not in (candidate["accuracy"], baseline["accuracy"])
    difference = candidate["accuracy"] - baseline["accuracy"] if both and baseline else None
    return {
        "name": shown or name,
        "label": None,
        "few": False,
        "candidate": candidate,
        "baseline": baseline,
        "difference": difference,
    }


def _summary(stage: dict[str, Any]) -> str:
    """An artifact's own summary, from its recorded facts. Artifacts of older versions may lack some."""
    artifact = recorded(stage)
    return artifact.summary if artifact else ""


def _number(text: str) -> float:
    try:
        return float(text.replace("−", "-").split()[0])
    except ValueError:
        return 0.0
