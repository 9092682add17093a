"""The gates as TFMA's thresholds, and TFMA's verdict beside ours."""

import json

from etils import epy

from components._evaluation import evaluator, metrics
from components._evaluation.gates import BASELINE, BEST, ROUNDING
from schemas.artifacts.evaluation import GateResult
from schemas.errors import GatelineError
from schemas.settings.gates import Gates

with epy.lazy_imports():
    from tensorflow_model_analysis.proto import config_pb2

BY_TFMA = ("accuracy", "per_class", "slices", "corruptions", "fresh", "ece", "brier", "drop")


def eval_config(gates: Gates, plan: "evaluator.EvaluationPlan", models: list[str]) -> "config_pb2.EvalConfig":
    """The gates as TFMA's thresholds."""
    pb = config_pb2
    config = pb.EvalConfig(
        slicing_specs=[pb.SlicingSpec(), *(pb.SlicingSpec(feature_keys=features) for features in plan.slicings)]
    )
    config.slicing_specs.extend(
        pb.SlicingSpec(feature_keys=[name]) for name in (evaluator.CORRUPTION, evaluator.LEAKED, evaluator.FRESH)
    )
    config.options.include_default_metrics.value = False
    for name in models:
        spec = config.model_specs.add(
            name=name, signature_name="serving_default", model_type="tf_generic", is_baseline=name == BASELINE
        )
        spec.label_key, spec.prediction_key = evaluator.LABEL, evaluator.PROBABILITIES
    accuracy, upper, brier, ece, *others = _metric_configs(plan)
    overall = accuracy.per_slice_thresholds.add(slicing_specs=[pb.SlicingSpec()]).threshold
    overall.value_threshold.lower_bound.value = gates.accuracy
    if BASELINE in models and gates.drop is not None:
        overall.change_threshold.absolute.value = -gates.drop - ROUNDING
        overall.change_threshold.direction = pb.MetricDirection.HIGHER_IS_BETTER
    floors = [({evaluator.LABEL: str(label)}, gates.per_class) for label in range(plan.classes)]
    floors += [
        (dict(part.partition("=")[::2] for part in name.split(", ")), floor) for name, floor in gates.slices.items()
    ]
    floors += [({evaluator.CORRUPTION: name}, floor) for name, floor in gates.corruptions.items()]
    if gates.fresh is not None and plan.fresh is not None:
        floors.append(({evaluator.FRESH: "yes"}, gates.fresh))
    for features, floor in floors:
        values, keys = {k: v for k, v in features.items() if v}, [k for k, v in features.items() if not v]
        threshold = upper.per_slice_thresholds.add(
            slicing_specs=[pb.SlicingSpec(feature_keys=keys, feature_values=values)]
        ).threshold
        threshold.value_threshold.lower_bound.value = floor
    for metric, ceiling in ((brier, gates.brier), (ece, gates.ece)):
        if ceiling is not None:
            bound = metric.per_slice_thresholds.add(slicing_specs=[pb.SlicingSpec()]).threshold
            bound.value_threshold.upper_bound.value = ceiling
    judged = [name for name in models if name != BEST]
    config.metrics_specs.add(metrics=[accuracy, upper, brier, ece, *others], model_names=judged)
    if BEST in models:
        config.metrics_specs.add(metrics=_metric_configs(plan), model_names=[BEST])
    return config


def _metric_configs(plan: "evaluator.EvaluationPlan") -> "list[config_pb2.MetricConfig]":
    """Accuracy, its upper bound, Brier score, expected calibration error, and what no gate is on."""
    own = {"module": "components._evaluation.tfma_metrics"}
    settings = {"classes": plan.classes, "confidence": plan.confidence, "min_examples": plan.min_examples}
    found = [
        ("SparseCategoricalAccuracy", {"name": metrics.ACCURACY}, {}),
        ("AccuracyUpperBound", {"name": metrics.UPPER} | settings, own),
        ("BrierScore", {"name": metrics.BRIER} | settings, own),
        ("ExpectedCalibrationError", {"name": metrics.ECE} | settings, own),
        ("SparseCategoricalCrossentropy", {"name": metrics.LOSS}, {}),
        ("ExampleCount", {}, {}),
        ("MultiClassConfusionMatrixPlot", {}, {}),
    ]
    return [
        config_pb2.MetricConfig(class_name=name, config=json.dumps(config), **module) for name, config, module in found
    ]


def check_agreement(judged: list[GateResult], validation_ok: bool) -> None:
    shared = [gate for gate in judged if gate.gate.split(".")[0] in BY_TFMA]
    if validation_ok and not all(gate.passed for gate in shared if gate.value is not None):
        raise GatelineError(
            "TFMA's validation passed what its metrics refuse", "This is a defect of gateline: please report it."
        )
    if not validation_ok and all(gate.passed for gate in shared):
        raise GatelineError(
            "TFMA's validation refused what its metrics pass", "This is a defect of gateline: please report it."
        )
