"""Facts in the form that pages show: rows, the most important first, and sentences.

classes(facts)      # [{"name": "overall", "candidate": ROW, "baseline": ROW or None, "difference": 0.0012}, ...]
limits(facts)       # ["Slice label=8, ink=below 0.1 has too few test images to judge (12).", ...]
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.dag import outputs
from pipeline.report import confusion, photos, shortened, spans
from pipeline.report.facts import Facts
from pipeline.store.recorded import artifact_of
from schemas.artifacts import GateResult, in_order, ranked, refusals
from schemas.artifacts.evaluation import WORST
from schemas.contract import label_titles

__all__ = ["confusion", "in_order", "photos", "refusals", "shortened", "spans"]  # used by the templates

Json = dict[str, Any]

NOT_EVALUATED = "The run did not reach the evaluation."
_CLASS = re.compile(r"label=(\d+)")


def gates(facts: Facts) -> tuple[list[GateResult], list[GateResult]]:
    """(shown, collapsed), refused gates first, then those with too few images.

    Gates on classes are collapsed if all pass. Of a gate on many slices, only the smallest margins are shown.
    """
    results: list[GateResult] = []
    collapsed: list[GateResult] = []
    for gate, group in shortened.families(facts.gates).items():
        if gate == "per_class" and len(group) > 1 and all(each.verdict == "passed" for each in group):
            collapsed += group
        elif len(group) > shortened.ROWS:
            worst = ranked(group)
            results, collapsed = results + worst[:WORST], collapsed + worst[WORST:]
        else:
            results += group
    order = {"refused": 0, "too few examples": 1}
    return sorted(results, key=lambda gate: 0 if not gate.passed else order.get(gate.verdict, 2)), collapsed


def collapsed_summary(collapsed: list[GateResult]) -> str:
    """A summary of the collapsed gates: "Each of the 10 classes passed; the closest is label=3 by +0.0105"."""
    counts = Counter(gate.verdict for gate in collapsed)
    kind = "classes" if all(gate.gate == "per_class" for gate in collapsed) else "slices"
    if counts.keys() - {"passed"} or kind == "slices":
        return f"{len(collapsed):,} more {kind}: {', '.join(f'{n:,} {verdict}' for verdict, n in counts.items())}"
    closest = narrowest(collapsed)
    suffix = f"; the closest is {closest.on} by {closest.margin}" if closest else ""
    level = next((f" at {gate.level}" for gate in collapsed if gate.level), "")
    return f"Each of the {len(collapsed):,} classes passed{level}{suffix}"


def narrowest(results: list[GateResult]) -> GateResult | None:
    """The gate that passed by the smallest margin."""
    return min((gate for gate in results if gate.margin), key=lambda gate: _number(gate.margin), default=None)


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
    few = {gate.slice for gate in facts.gates if gate.verdict == "too few examples"}
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


def fresh_gate(facts: Facts) -> str:
    """The requirement and the result of the gate on fresh images. Empty if there is no such gate."""
    gate = next((gate for gate in facts.gates if gate.gate == "fresh"), None)
    if not gate or not gate.passed:
        return gate.reason if gate else ""
    if gate.verdict == "passed":
        return f"gates.fresh requires {gate.bound:.4f} and measured {gate.measured}: passed"
    why = "there is no span yet" if gate.value is None else "there are too few images to decide"
    return f"gates.fresh requires {gate.bound:.4f}; {why}, so it does not refuse"


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


def unused(facts: Facts) -> str:
    """A sentence on the classes that the contract declares unused. Empty if there are none."""
    if not facts.unused:
        return ""
    counted = f"{len(facts.unused):,} classes are" if len(facts.unused) > 1 else "1 class is"
    return f"{counted} declared unused and not judged by gates: {label_titles(facts.unused, facts.names)}."


def samples(facts: Facts) -> dict[int, list[Json]]:
    """The sample images by label, in the order of the labels, or of need if there are many."""
    by_label: dict[int, list[Json]] = {}
    for entry in sorted(facts.gallery["samples"], key=lambda entry: int(entry["label"])):
        by_label.setdefault(entry["label"], []).append(entry)
    if len(by_label) <= shortened.ROWS or not facts.candidate:
        return by_label
    order = [row["label"] for row in shortened.by_need(classes(facts))]
    return {label: by_label[label] for label in dict.fromkeys([*order, *by_label]) if label in by_label}


def comparisons(facts: Facts) -> list[Json]:
    """The comparisons with other models, each with a `sentence`. Baseline and best version may be the same."""
    rows = []
    baseline = (compared(facts, "baseline") or {}).get("version")
    for each in facts.comparisons:
        best = each["with"] == "best"
        text = f"against the best version ever served: {each['words']}" if best else each["words"]
        if best and each["version"] == baseline and each["by"] == "paired":
            budget = f"the budget of {100 * each['margin']:g} point{'s'[: each['margin'] != 0.01]}"
            within = "within" if each["verdict"] in ("better", "equivalent") else "not shown to be within"
            text = f"it is also the best version ever served; {within} {budget}"
        rows.append(each | {"sentence": text})
    return rows


def paired(facts: Facts) -> list[Json]:
    """Paired counts of correct predictions, a row for each version. `best`: it is the best version ever served."""
    rows: dict[int, Json] = {}
    for each in facts.comparisons:
        if each["by"] == "paired":
            best = each["with"] == "best"
            rows[each["version"]] = rows.get(each["version"], each) | {"best": best}
    return list(rows.values())


def damaged(facts: Facts) -> list[str]:
    """The files that cannot be read, with their stages."""
    return [f"{name} of {stage}" for stage, names in facts.damaged.items() for name in names]


def compared(facts: Facts, model: str) -> Json | None:
    """The comparison with "baseline" or "best"."""
    return next((each for each in facts.comparisons if each["with"] == model), None)


def lineage(facts: Facts) -> list[dict[str, str]]:
    """A row for each artifact, from the dataset to the served version."""
    with_artifact = [stage for stage in facts.stages if stage["digest"]]
    return [
        {
            "stage": s["stage"],
            "what": _summary(s),
            "digest": s["digest"],
            "path": "/".join(Path(s["path"] or "").parts[-3:]),
        }
        for s in with_artifact
    ]


def seed(facts: Facts) -> int | None:
    number: int | None = (facts.run["config"] or {}).get("train", {}).get("seed")
    return number


def limits(facts: Facts) -> list[str]:
    """Sentences on the limits of this evaluation."""
    candidate = facts.candidate
    if not candidate:
        return [f"{facts.absent('metrics', NOT_EVALUATED)} No metrics of this model are available."]
    sentences = []
    if known(interval := candidate["overall"]["interval"]):
        width = f"accuracy is known to within {interval[1] - interval[0]:.4f} (the width of its 95 % interval)"
        count = f"With {candidate['overall']['count']:,} test images, {width}"
        sentences.append(f"{count}. The intervals of smaller slices are wider.")
    if never := unused(facts):
        sentences.append(never)
    few = [gate.on for gate in facts.gates if gate.verdict == "too few examples"]
    if few:
        sentences.append(f"Too few test images to judge: {'; '.join(few)}. They are shown, but no gate applies.")
    if leak := leaked(facts):
        sentences.append(f"{leak['images']:,} test images are also in train or validation. The metrics exclude them.")
    if changed := next((each for each in facts.comparisons if not each.get("same_test", True)), None):
        since = f"The test split changed since version {changed['version']} was pushed"
        sentences.append(
            f"{since}. All models are measured on the new split; recorded accuracies refer to the old one."
        )
    if not slices(facts):
        sentences.append("No slices other than the labels were evaluated.")
    if names := ", ".join(candidate["corruptions"]):
        sentences.append(f"Robustness was measured only under {names}, at one severity each.")
    else:
        sentences.append("Robustness under corruptions was not measured.")
    if "baseline" not in facts.metrics:
        sentences.append("Nothing was served yet, so there was no model to compare with.")
    if fresh_row := candidate["fresh"]:
        sentences.append(f"The {fresh_row['count']:,} fresh images are from one span, {facts.fresh}.")
    which = "All other" if fresh_row else "All"
    scope = "Images of another origin, or of other classes, were not tested."
    sentences.append(f"{which} metrics are for one test split. {scope}")
    return sentences


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


def _summary(stage: Json) -> str:
    """The artifact's summary, from its recorded facts. Empty if another version of gateline made it."""
    artifact = artifact_of(stage, outputs())
    return artifact.summary if artifact else ""


def _number(text: str) -> float:
    try:
        return float(text.replace("−", "-").split()[0])
    except ValueError:
        return 0.0
