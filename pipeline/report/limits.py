"""The limits of an evaluation: what its metrics do not show, a sentence each."""

from collections.abc import Iterable
from typing import Any

from pipeline.report import accuracy
from pipeline.report.facts import Facts
from pipeline.report.gates import FEW
from schemas.artifacts import Comparison, GateResult
from schemas.contract import label_titles

Json = dict[str, Any]


def limits(facts: Facts) -> list[str]:
    """The sentences: the limits of the measurements, then those of the data."""
    candidate = facts.candidate
    if not candidate:
        return [f"{facts.no_metrics} No metrics of this model are available."]
    sentences = (
        _precision(candidate["overall"]),
        unused(facts),
        _unjudged(facts.gates),
        _leaked(accuracy.leaked(facts)),
        _changed_test(facts.comparisons),
        "" if accuracy.slices(facts) else "No slices other than the labels were evaluated.",
        _robustness(candidate["corruptions"]),
        "" if "baseline" in facts.metrics else "Nothing was served yet, so there was no model to compare with.",
        _fresh(candidate["fresh"], facts.fresh),
        _scope(candidate["fresh"]),
    )
    return [sentence for sentence in sentences if sentence]


def unused(facts: Facts) -> str:
    """The classes that the contract declares unused. Empty if there are none."""
    if not facts.unused:
        return ""
    counted = f"{len(facts.unused):,} classes are" if len(facts.unused) > 1 else "1 class is"
    return f"{counted} declared unused and not judged by gates: {label_titles(facts.unused, facts.names)}."


def _precision(overall: Json) -> str:
    if not accuracy.known(interval := overall["interval"]):
        return ""
    width = f"accuracy is known to within {interval[1] - interval[0]:.4f} (the width of its 95 % interval)"
    return f"With {overall['count']:,} test images, {width}. The intervals of smaller slices are wider."


def _unjudged(gates: Iterable[GateResult]) -> str:
    few = [gate.on for gate in gates if gate.verdict == FEW]
    return f"Too few test images to judge: {'; '.join(few)}. They are shown, but no gate applies." if few else ""


def _leaked(leaked: Json | None) -> str:
    if not leaked:
        return ""
    return f"{leaked['images']:,} test images are also in train or validation. The metrics exclude them."


def _changed_test(comparisons: Iterable[Comparison]) -> str:
    changed = next((each for each in comparisons if not each.same_test), None)
    if not changed:
        return ""
    since = f"The test split changed since version {changed.version} was pushed"
    return f"{since}. All models are measured on the new split; recorded accuracies refer to the old one."


def _robustness(corruptions: Iterable[str]) -> str:
    names = ", ".join(corruptions)
    if not names:
        return "Robustness under corruptions was not measured."
    return f"Robustness was measured only under {names}, at one severity each."


def _fresh(fresh: Json | None, span: str) -> str:
    return f"The {fresh['count']:,} fresh images are from one span, {span}." if fresh else ""


def _scope(fresh: Json | None) -> str:
    which = "All other" if fresh else "All"
    return f"{which} metrics are for one test split. Images of another origin, or of other classes, were not tested."
