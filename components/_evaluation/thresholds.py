"""The gates as TFMA's thresholds, and TFMA's verdict compared with ours."""

import json
from collections.abc import Iterable

from etils import epy

from components._evaluation import evaluator, metrics
from schemas.artifacts.evaluation import BASELINE, BEST, GateResult
from schemas.errors import GatelineError
from schemas.gates import Planned, Threshold, family_wise
from schemas.settings.gates import Gates

with epy.lazy_imports():
    from tensorflow_model_analysis.proto import config_pb2


def eval_config(gates: Gates, plan: "evaluator.EvaluationPlan", models: list[str]) -> "config_pb2.EvalConfig":
    """The gates as TFMA's thresholds, and what is measured beside them."""
    pb = config_pb2
    config = pb.EvalConfig(slicing_specs=[pb.SlicingSpec()])
    config.slicing_specs.extend(pb.SlicingSpec(feature_keys=features) for features in plan.slicings)
    config.slicing_specs.extend(
        pb.SlicingSpec(feature_keys=[name]) for name in (evaluator.CORRUPTION, evaluator.LEAKED, evaluator.FRESH)
    )
    config.options.include_default_metrics.value = False
    for name in models:
        spec = config.model_specs.add(
            name=name, signature_name="serving_default", model_type="tf_generic", is_baseline=name == BASELINE
        )
        spec.label_key, spec.prediction_key = evaluator.LABEL, evaluator.PROBABILITIES
    thresholds = list(gates.thresholds(planned(plan, models)))
    measured = _metric_configs(plan, {each.family for each in thresholds})
    _add_thresholds(measured, thresholds)
    config.metrics_specs.add(metrics=measured.values(), model_names=[name for name in models if name != BEST])
    if BEST in models:
        config.metrics_specs.add(metrics=_metric_configs(plan).values(), model_names=[BEST])
    return config


def planned(plan: "evaluator.EvaluationPlan", models: Iterable[str]) -> Planned:
    return Planned(
        labels=tuple(label for label in range(plan.classes) if label not in plan.unused),
        images=plan.images,
        baseline=BASELINE in models,
        fresh=plan.fresh is not None,
        confidence=plan.confidence,
        min_examples=plan.min_examples,
        values=plan.values,
    )


def _add_thresholds(measured: "dict[str, config_pb2.MetricConfig]", thresholds: Iterable[Threshold]) -> None:
    """TFMA takes one threshold for each metric and slice, which may hold several bounds."""
    by_slice: dict[tuple[str, str], config_pb2.MetricThreshold] = {}
    for each in thresholds:
        metric = metrics.upper_name(each.family) if each.metric == "upper" else each.metric
        if (place := (metric, each.slice)) not in by_slice:
            spec = _slicing_spec(each.slice)
            by_slice[place] = measured[metric].per_slice_thresholds.add(slicing_specs=[spec]).threshold
        bounds = by_slice[place]
        if each.lower is not None:
            lower = bounds.value_threshold.lower_bound  # two gates may have a floor on one slice
            lower.value = max(lower.value, each.lower)
        if each.upper is not None:
            bounds.value_threshold.upper_bound.value = each.upper
        if each.drop is not None:
            bounds.change_threshold.absolute.value = -each.drop
            bounds.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER


def _slicing_spec(slice_: str) -> "config_pb2.SlicingSpec":
    parts = dict(part.partition("=")[::2] for part in slice_.split(", ")) if slice_ else {}
    values, keys = {k: v for k, v in parts.items() if v}, [k for k, v in parts.items() if not v]
    return config_pb2.SlicingSpec(feature_keys=keys, feature_values=values)


def _metric_configs(
    plan: "evaluator.EvaluationPlan", families: Iterable[int] = ()
) -> "dict[str, config_pb2.MetricConfig]":
    """The metrics of each model, by the names that they have in `Evaluation.metrics()`; upper bounds by their own.

    `families`: the numbers of slices that upper bounds hold for at once.
    """
    own = {"module": "components._evaluation.tfma_metrics"}
    settings = {"classes": plan.classes, "min_examples": plan.min_examples}
    uppers = {metrics.upper_name(family): family_wise(plan.confidence, family) for family in sorted({1, *families})}
    configs = {
        "accuracy": ("SparseCategoricalAccuracy", {"name": metrics.ACCURACY}, {}),
        **{
            name: (metrics.UPPER_CLASS, {"name": name, "confidence": confidence} | settings, own)
            for name, confidence in uppers.items()
        },
        "brier": ("BrierScore", {"name": metrics.BRIER} | settings, own),
        "ece": ("ExpectedCalibrationError", {"name": metrics.ECE} | settings, own),
        "loss": ("SparseCategoricalCrossentropy", {"name": metrics.LOSS}, {}),
        "count": ("ExampleCount", {}, {}),
        "confusion": ("MultiClassConfusionMatrixPlot", {}, {}),
    }
    return {
        key: config_pb2.MetricConfig(class_name=name, config=json.dumps(config), **module)
        for key, (name, config, module) in configs.items()
    }


def check_agreement(gates: Gates, plan: Planned, results: list[GateResult], validation_ok: bool) -> None:
    """Raises GatelineError if TFMA's verdict is not the one of the gates that TFMA checks too."""
    by_tfma = {key for key, gate in gates.stated().items() if any(True for _ in gate.thresholds(plan))}
    shared = [result for result in results if result.gate.split(".")[0] in by_tfma]
    remedy = "This is a defect of gateline: please report it."
    if validation_ok and not all(result.passed for result in shared if result.value is not None):
        raise GatelineError("TFMA's validation passed what its metrics refuse", remedy)
    if not validation_ok and all(result.passed for result in shared):
        raise GatelineError("TFMA's validation refused what its metrics pass", remedy)
