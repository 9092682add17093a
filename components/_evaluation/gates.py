"""The accuracy gates: what each required, what came, and a sentence for a refusal."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from schemas.artifacts.evaluation import GateResult
from schemas.contract import called
from schemas.settings.gates import Gates

CANDIDATE, BASELINE, BEST = "candidate", "baseline", "best"
ROUNDING = 1e-9  # a drop of just what is allowed passes, however its floats were rounded


def judge(
    gates: Gates, classes: int, metrics: dict[str, Any], comparisons: list[dict[str, Any]], names: Sequence[str] = ()
) -> list[GateResult]:
    """Each gate, in the order of the configuration. `names`: what the labels are called."""
    candidate = metrics[CANDIDATE]
    overall = candidate["overall"]
    found = [_accuracy(gates, overall), *_per_class(gates, classes, candidate)]
    for name, floor in gates.slices.items():
        found += [
            _slice(gates, f"slices.{name}", slice_, floor, candidate) for slice_ in _matching(name, candidate["slices"])
        ]
    for name, floor in gates.corruptions.items():
        found.append(
            _floor(gates, f"corruptions.{name}", f"corruption={name}", floor, candidate["corruptions"].get(name))
        )
    if gates.fresh is not None:
        found.append(_fresh(gates, gates.fresh, candidate["fresh"]))
    found += [
        _ceiling(name, getattr(gates, name), overall[name])
        for name in ("ece", "brier")
        if getattr(gates, name) is not None
    ]
    if gates.drop is not None and BASELINE in metrics:
        found.append(_drop(gates.drop, metrics[BASELINE]["overall"]["accuracy"], overall["accuracy"]))
    for comparison in comparisons:
        found.append(_paired(gates, comparison) if comparison["with"] == BASELINE else _budget(gates, comparison))
    return [_named(gate, names) for gate in found]


def _named(gate: GateResult, names: Sequence[str]) -> GateResult:
    """With what its labels are called; settings keep their keys."""
    on = called(gate.slice, names)
    return replace(gate, on=on, words=gate.words.replace(gate.slice, on, 1))


def _matching(name: str, slices: dict[str, Any]) -> list[str]:
    """The slices that a gate is on; a slice that no example has stays named, so that it is refused."""
    wanted = name.split(", ")
    if all("=" in part for part in wanted):
        return [name]
    fits = lambda slice_: all(  # noqa: E731
        part == (has if "=" in part else has.split("=")[0])
        for part, has in zip(wanted, slice_.split(", "), strict=True)
    )
    return [s for s in slices if s.count(", ") == name.count(", ") and fits(s)] or [name]


def _per_class(gates: Gates, classes: int, candidate: dict[str, Any]) -> list[GateResult]:
    """A gate on each class. That some are too small to be judged is said; that all of them are is a refusal."""
    found = [_slice(gates, "per_class", f"label={k}", gates.per_class, candidate) for k in range(classes)]
    if any(gate.verdict != "too few examples" for gate in found):
        return found
    words = f"no class has gates.min_examples ({gates.min_examples}) test images, so gates.per_class cannot be judged"
    return [
        *found,
        GateResult(
            "per_class", "every class", f"≥ {gates.per_class:.4f}", "too few examples", False, words, gates.per_class
        ),
    ]


def _accuracy(gates: Gates, row: dict[str, float]) -> GateResult:
    if row["count"] < gates.min_examples:
        words = (
            f"the test split has {row['count']:,} images that count; gates.min_examples asks for {gates.min_examples:,}"
        )
        return GateResult(
            "accuracy",
            "overall",
            f"≥ {gates.accuracy:.4f}",
            f"of {row['count']:,} images",
            False,
            words,
            gates.accuracy,
        )
    return _at_least("accuracy", "overall", gates.accuracy, row, row["accuracy"], "accuracy is {value:.4f}")


def _slice(gates: Gates, gate: str, slice_: str, floor: float, candidate: dict[str, Any]) -> GateResult:
    return _floor(gates, gate, slice_, floor, candidate["slices"].get(slice_))


def _floor(gates: Gates, gate: str, slice_: str, floor: float, row: dict[str, float] | None) -> GateResult:
    """By the upper confidence bound: a slice is refused for what it is, not for the luck of a few images."""
    required = f"≥ {floor:.4f}"
    if row is None:
        words = f"{slice_} has no test examples, so gates.{gate} cannot be judged"
        return GateResult(gate, slice_, required, "no examples", False, words, floor)
    if row["count"] < gates.min_examples:
        came = f"{row['accuracy']:.4f} of {row['count']:,}"
        return GateResult(gate, slice_, required, came, True, "", floor, row["accuracy"], "too few examples")
    words = f"accuracy on {slice_} is {row['accuracy']:.4f}, at {gates.confidence:.0%} confidence at most {{value:.4f}}"
    return _at_least(
        gate, slice_, floor, row, row["upper"], words, came=f"{row['accuracy']:.4f}, at most {row['upper']:.4f}"
    )


def _fresh(gates: Gates, floor: float, row: dict[str, float] | None) -> GateResult:
    """A line whose first span is still to come has nothing fresh to be judged by, and says so."""
    if row is None:
        return GateResult("fresh", "fresh", f"≥ {floor:.4f}", "no span yet", True, "", floor, None, "too few examples")
    return _floor(gates, "fresh", "fresh", floor, row)


def _at_least(
    gate: str, slice_: str, floor: float, row: dict[str, float], value: float, words: str, came: str = ""
) -> GateResult:
    required = f"≥ {floor:.4f}"
    if not math.isfinite(row["loss"]):
        return GateResult(
            gate, slice_, required, "not a number", False, f"{slice_}: the model's probabilities are not numbers", floor
        )
    missing = f"{words.format(value=value)}; gates.{gate} asks for {floor:.4f}, {floor - value:.4f} more"
    came = came or f"{value:.4f}"
    return GateResult(
        gate, slice_, required, came, value >= floor, missing, floor, value, margin=f"{value - floor:+.4f}"
    )


def _ceiling(name: str, bound: float, value: float) -> GateResult:
    title = {"ece": "expected calibration error", "brier": "Brier score"}[name]
    if not math.isfinite(value):
        return GateResult(
            name,
            "overall",
            f"≤ {bound:.4f}",
            "not a number",
            False,
            "overall: the model's probabilities are not numbers",
            bound,
        )
    words = f"{title} is {value:.4f}; gates.{name} allows {bound:.4f}, {value - bound:.4f} less"
    return GateResult(
        name,
        "overall",
        f"≤ {bound:.4f}",
        f"{value:.4f}",
        value <= bound,
        words,
        bound,
        value,
        margin=f"{bound - value:+.4f}",
    )


def _drop(bound: float, before: float, now: float) -> GateResult:
    drop = before - now
    words = f"accuracy {now:.4f} is {drop:.4f} below the served model's {before:.4f}; gates.drop allows {bound:.4f}"
    passed = drop <= bound + ROUNDING
    return GateResult(
        "drop", "overall", f"≤ {bound:.4f}", f"{drop:.4f}", passed, words, bound, drop, margin=f"{bound - drop:+.4f}"
    )


def _paired(gates: Gates, comparison: dict[str, Any]) -> GateResult:
    verdict, policy = comparison["verdict"], gates.paired
    allowed = [name for name in ("better", "equivalent", "worse", "undecided") if getattr(policy, name) == "pass"]
    words = f"{comparison['words']}; gates.paired lets pass: {', '.join(allowed) or 'nothing'}"
    if verdict == "undecided":
        words += f"; with a margin above {_points(-comparison['interval'][0]).lstrip('+')} it would be equivalent"
    came = f"{verdict}, {_points(comparison['difference'])}"
    margin = f"{comparison['interval'][0] + comparison['margin']:+.4f}"
    return GateResult(
        "paired", "overall", " or ".join(allowed) or "nothing", came, verdict in allowed, words,
        -policy.margin, comparison["difference"], margin=margin,
    )  # fmt: skip


def _budget(gates: Gates, comparison: dict[str, Any]) -> GateResult:
    """Against the best model ever served: the lower bound on the same images, or else the recorded accuracy."""
    paired = comparison["by"] == "paired"
    passed = (
        comparison["verdict"] in ("better", "equivalent")
        if paired
        else comparison["difference"] >= -gates.budget.margin - ROUNDING
    )
    lowest = comparison["interval"][0] if paired else comparison["difference"]
    allowed = _points(gates.budget.margin).lstrip("+")
    words = f"{comparison['words']}; gates.budget allows to lose {allowed} of the best model ever served"
    came = f"{_points(comparison['difference'])}" + (f", at least {_points(lowest)}" if paired else ", as recorded")
    required = f"≥ {_points(-gates.budget.margin)}"
    return GateResult(
        "budget",
        "overall",
        required,
        came,
        passed,
        words,
        -gates.budget.margin,
        lowest,
        margin=f"{lowest + gates.budget.margin:+.4f}",
    )


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f} points"
