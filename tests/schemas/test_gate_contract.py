"""The contract of all gates: setting, refusal beyond the bound, agreement with TFMA, and reasons.

A new gate adds a case to `CASES`.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from tensorflow_model_analysis.metrics import MetricKey
from tensorflow_model_analysis.utils import update_eval_config_with_defaults

from components._evaluation import metrics as names
from components._evaluation.compat import validate
from components._evaluation.evaluator import EvaluationPlan
from components._evaluation.thresholds import check_agreement, eval_config, planned
from pipeline.config import describe
from schemas.artifacts import Comparison, GateResult, PairedTest
from schemas.artifacts.comparison import Verdict
from schemas.contract import slice_title
from schemas.errors import ConfigurationError
from schemas.gates import Measured, kinds, upper_bound
from schemas.model_input import ModelInput
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates

CLASSES = 2
Json = dict[str, Any]
Edit = Callable[[Json, Json], None]  # edits the metrics of the candidate and of the served model


def row(accuracy: float, *, count: int = 1000, **metrics: float) -> Json:
    return {"count": count, "accuracy": accuracy, "loss": 0.1, "ece": 0.01, "brier": 0.05} | metrics


def good_metrics() -> Json:
    """Metrics that pass each gate of `CASES`."""
    slices = {f"label={label}": row(0.95) for label in range(CLASSES)} | {"ink=low": row(0.95)}
    return {"overall": row(0.95), "slices": slices, "corruptions": {"blur": row(0.95)}, "fresh": row(0.95)}


def comparison(other: str, verdict: Verdict, low: float) -> Comparison:
    test = PairedTest(verdict, low + 0.001, (low, low + 0.002), 0.5, 900, 50, 40, 10, None, margin=0.0041, alpha=0.05)
    return Comparison(other, 3, f"{verdict} than version 3", test.difference, test)


@dataclasses.dataclass(frozen=True)
class Case:
    """A setting, an ineffective and an invalid setting, and edits that the first setting refuses."""

    setting: Any
    ineffective: Any  # a guessing model would pass
    invalid: Any  # of a wrong type or out of range
    bad: Edit
    nan: Edit | None = None  # None: the gate reads comparisons, which exclude NaN
    comparisons: tuple[Sequence[Comparison], Sequence[Comparison]] = ((), ())  # good ones, bad ones


def edit_overall(**metrics: float) -> Edit:
    return lambda candidate, _: candidate["overall"].update(metrics)


def edit_baseline(**metrics: float) -> Edit:
    return lambda _, baseline: baseline["overall"].update(metrics)


def edit_slice(group: str, name: str, value: Json) -> Edit:
    return lambda candidate, _: candidate[group].update({name: value}) if name else candidate.update({group: value})


def no_edit(candidate: Json, baseline: Json) -> None: ...


LOW, NAN = row(0.6), row(0.9, loss=math.nan)
CASES = {
    "accuracy": Case(0.9, 0.5, 1.1, edit_overall(accuracy=0.8999), edit_overall(loss=math.nan)),
    "brier": Case(0.1, 0.5, 2.0, edit_overall(brier=0.1001), edit_overall(brier=math.nan)),
    "ece": Case(0.05, 0.5, 1.0, edit_overall(ece=0.0501), edit_overall(ece=math.nan)),
    "per_class": Case(0.8, 0.5, 0, edit_slice("slices", "label=1", LOW), edit_slice("slices", "label=1", NAN)),
    "slices": Case(
        {"ink": 0.8}, {"ink": 0.5}, {"ink": 2.0},
        edit_slice("slices", "ink=low", LOW), edit_slice("slices", "ink=low", NAN),
    ),
    "corruptions": Case(
        {"blur": 0.8}, {"blur": 0.5}, {"fog": 0.8},
        edit_slice("corruptions", "blur", LOW), edit_slice("corruptions", "blur", NAN),
    ),
    "fresh": Case(0.8, 0.5, "high", edit_slice("fresh", "", LOW), edit_slice("fresh", "", NAN)),
    "drop": Case(0.01, 0.45, -0.1, edit_overall(accuracy=0.9399), edit_baseline(accuracy=math.nan)),
    "paired": Case(
        {"margin": 0.0041}, {"margin": 0.45}, {"worse": "maybe"}, no_edit, None,
        ([comparison("baseline", "equivalent", -0.001)], [comparison("baseline", "worse", -0.02)]),
    ),
    "budget": Case(
        {"margin": 0.01}, {"margin": 0.45}, {"alpha": 0}, no_edit, None,
        ([comparison("best", "equivalent", -0.001)], [comparison("best", "worse", -0.02)]),
    ),
}  # fmt: skip
EVALUATE = Evaluate(slices=["ink"], derived={"ink": [0.1]}, corruptions=["blur"])
PLAN = EvaluationPlan(
    ModelInput((28, 28, 1), (28, 28, 1)),
    CLASSES,
    (("label",), ("ink",)),
    {},
    ("blur",),
    0.1,
    frozenset(),
    frozenset(),
    0.95,
    30,
    images=2000,
    values={"label": 2, "ink": 1},
)


@pytest.fixture(params=sorted(kinds()))
def key(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def with_gate(key: str, setting: Any) -> Gates:
    return Gates(**{"accuracy": 0.9, "per_class": 0.6, key: setting})


def results(key: str, edit: Edit, bad: bool = False) -> tuple[Gates, Measured, list[GateResult]]:
    candidate, baseline = good_metrics(), good_metrics()
    edit(candidate, baseline)
    gates = with_gate(key, CASES[key].setting)
    metrics = {"candidate": candidate, "baseline": baseline}
    measured = Measured(planned(PLAN, metrics), metrics, CASES[key].comparisons[bad], ("cat", "dog"))
    return gates, measured, list(gates.stated()[key].evaluate(measured))


def test_a_gate_passes_good_metrics_and_refuses_bad_ones(key: str) -> None:
    *_, passed = results(key, no_edit)
    *_, refused = results(key, CASES[key].bad, bad=True)
    assert passed, "a gate without a result cannot refuse"
    assert all(result.passed and result.verdict == "passed" for result in passed)
    assert not all(result.passed for result in refused)


def test_a_refusal_names_its_setting_and_the_margin_has_the_right_sign(key: str) -> None:
    *_, refused = results(key, CASES[key].bad, bad=True)
    *_, passed = results(key, no_edit)
    for result in (*passed, *refused):
        assert result.gate.split(".")[0] == key
        assert result.on == slice_title(result.slice, ("cat", "dog"))
        assert "\n" not in result.reason + result.required + result.measured
        assert result.bound is not None and result.value is not None
        assert result.margin.startswith("+" if result.passed else "-")
    for result in (result for result in refused if not result.passed):
        assert f"gates.{result.gate}" in result.reason or f"gates.{key}" in result.reason


def test_nan_is_refused(key: str) -> None:
    if (edit := CASES[key].nan) is None:
        assert not list(with_gate(key, CASES[key].setting).stated()[key].thresholds(planned(PLAN, ["candidate"])))
        return
    *_, gate_results = results(key, edit)
    assert not all(result.passed for result in gate_results)


def test_a_setting_that_a_guessing_model_would_pass_is_refused(key: str) -> None:
    with_gate(key, CASES[key].setting).check(range(CLASSES), EVALUATE)
    gates = Gates(**{"accuracy": 0.9, "per_class": 0.6, "budget": {"margin": 0.5}, key: CASES[key].ineffective})
    with pytest.raises(ConfigurationError, match=rf"gates\.{key}.* is .*; .*guess"):
        gates.stated()[key].check(gates, range(CLASSES), EVALUATE)


def test_a_gate_is_a_frozen_documented_model(key: str) -> None:
    gate = with_gate(key, CASES[key].setting).stated()[key]
    assert isinstance(gate, BaseModel)
    assert gate.key == key
    assert type(gate).model_validate_json(gate.model_dump_json()) == gate
    with pytest.raises(ValidationError):
        setattr(gate, next(iter(type(gate).model_fields)), None)
    with pytest.raises(ValidationError):
        with_gate(key, CASES[key].invalid)
    meanings = [each.meaning for each in describe() if f"{each.key}.".startswith(f"gates.{key}.")]
    assert meanings and all(meanings)


@pytest.mark.parametrize("bad", [False, True])
def test_tfma_reaches_the_same_verdict(key: str, bad: bool) -> None:
    """TFMA's own validation of the same metrics, under the gate's thresholds."""
    gates, measured, gate_results = results(key, CASES[key].bad if bad else no_edit, bad)
    models = ["candidate", "baseline"]
    config = update_eval_config_with_defaults(eval_config(gates, PLAN, models), has_baseline=True)
    candidate = measured.candidate
    rows = {(): candidate["overall"]} | {((*name.split("="),),): row_ for name, row_ in candidate["slices"].items()}
    rows |= {(("corruption", "blur"),): candidate["corruptions"]["blur"], (("fresh", "yes"),): candidate["fresh"]}
    assert measured.baseline
    baseline = measured.baseline["overall"]
    valid = True
    for slice_key, slice_metrics in rows.items():
        values = _keyed(slice_metrics, "candidate", config) | _keyed(baseline, "baseline", config)
        change = slice_metrics["accuracy"] - baseline["accuracy"]
        values[MetricKey(names.ACCURACY, model_name="candidate", is_diff=True)] = change
        valid &= validate((slice_key, values), config).validation_ok
    check_agreement(gates, planned(PLAN, models), gates.evaluate(measured), valid)
    if list(gates.stated()[key].thresholds(planned(PLAN, models))):
        assert valid == all(result.passed for result in gate_results) == (not bad)


def _keyed(metrics: Json, model: str, config: Any) -> dict[MetricKey, float]:
    metric_names = {"accuracy": names.ACCURACY, "brier": names.BRIER, "ece": names.ECE, "loss": names.LOSS}
    values = {name: metrics[key] for key, name in metric_names.items()}
    correct = round(metrics["accuracy"] * metrics["count"]) if math.isfinite(metrics["accuracy"]) else 0
    for name, confidence in names.bounds_in(config).items():
        values[name] = upper_bound(correct, metrics["count"], confidence)
    return {MetricKey(name, model_name=model): value for name, value in values.items()}


def test_results_survive_json(key: str) -> None:
    *_, gate_results = results(key, no_edit)
    rows = json.loads(json.dumps([result.as_row() for result in gate_results]))
    assert [GateResult.of(each) for each in rows] == gate_results
