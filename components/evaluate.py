"""evaluate: TensorFlow Model Analysis on the raw test examples, the comparison with what is served, and the accuracy gates."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from etils import epy

from components import _comparison, _gallery, _metrics, _paired, _servable, _tfma
from components._gates import BASELINE, BEST, CANDIDATE, ROUNDING, Judged, judge
from pipeline.component import Run, component
from pipeline.files import digest, listing
from schemas import example
from schemas.artifacts import Best, Evaluation, Examples, Model, Served, Statistics
from schemas.contract import Contract
from schemas.errors import GatelineError
from schemas.settings import Evaluate, Gates

with epy.lazy_imports():
    import numpy as np
    import pyarrow.parquet as pq
    import tensorflow as tf
    import tensorflow_model_analysis as tfma
    from tensorflow_model_analysis.proto import config_pb2

PROBES = 32
BY_TFMA = ("accuracy", "per_class", "slices", "corruptions", "ece", "brier", "drop")


@component
def evaluate(
    model: Model,
    examples: Examples,
    statistics: Statistics,
    baseline: Served | None,
    best: Best | None,
    *,
    contract: Contract,
    gates: Gates,
    settings: Evaluate,
    run: Run,
) -> Evaluation:
    """Passes if the model reaches every gate: floors overall, on slices and under corruptions, calibration, and how it
    compares with the model now served and with the best ever served, on the same images.

    What TFMA can express is its thresholds, and its validation is what decides; comparisons come on top.

    Raises:
        StoreError: a served model cannot be read.
        ConfigurationError: a served model answers in another form.
        GatelineError: TFMA's verdict and its metrics contradict each other.
    """
    saved_model = digest(listing(model.path / "saved_model"))
    models = {CANDIDATE: model.path / "saved_model"} | ({BASELINE: baseline.path} if baseline else {})
    if best and best.kept and not (baseline and baseline.digest == best.digest):
        models[BEST] = best.path
    for path in [path for name, path in models.items() if name != CANDIDATE]:
        _servable.check_signature(path, contract.classes)
    shards = [(str(path), count) for _, path, count in examples.shards("test")]
    for path, count in shards:
        example.check(Path(path), count)  # a damaged shard is named here, before TFMA reads it
    leaked = frozenset(json.loads((statistics.path / "leaked.json").read_text()))
    look = _look(contract, gates, settings, examples.splits["test"].count, leaked)
    config = eval_config(gates, look, list(models))
    with run.beam() as pipeline:
        _tfma.evaluate(pipeline, config, shards, models, BASELINE if baseline else None, look, run.out)
    metrics = {name: _metrics_of(run.out / "tfma", name if len(models) > 1 else "", look) for name in models}
    comparisons = _comparison.compare(run.out / _tfma.PREDICTIONS, leaked, gates, baseline, best, metrics[CANDIDATE]["overall"]["accuracy"])
    judged = judge(gates, contract.classes, metrics, comparisons)
    _agree(judged, tfma.load_validation_result(str(run.out / "tfma")).validation_ok)
    for name, content in (("metrics", metrics), ("comparisons", comparisons), ("gates", [asdict(gate) for gate in judged])):
        (run.out / f"{name}.json").write_text(json.dumps(_finite(content), indent=1))
    _gallery.leave(examples, run.out / _tfma.PREDICTIONS, run.out, contract.classes)
    _leave_probes(examples, run.out)
    overall = metrics[CANDIDATE]["overall"]
    beside = next((f"; {c['verdict']} than version {c['version']}" for c in comparisons if c["with"] == BASELINE), "")
    beside = beside.replace("equivalent than", "equivalent to").replace("undecided than", "undecided against")
    run.say(f"accuracy {overall['accuracy']:.4f}, loss {overall['loss']:.4f} on {overall['count']:,} test images{beside}")
    return Evaluation(
        run.out,
        passed=all(gate.passed for gate in judged),
        reasons=tuple(gate.words for gate in judged if not gate.passed),
        remedy="See python -m pipeline report. Train better, or lower the gate if that is what you want. Nothing was pushed.",
        accuracy=overall["accuracy"],
        loss=overall["loss"],
        baseline=baseline.version if baseline else None,
        saved_model=saved_model,
    )


def _look(contract: Contract, gates: Gates, settings: Evaluate, test: int, leaked: frozenset[int]) -> "_tfma.Look":
    return _tfma.Look(
        shape=contract.shape,
        classes=contract.classes,
        slicings=tuple(settings.features),
        derived={measure: edges for measure, edges in settings.derived.items() if any(measure in s for s in settings.features)},
        corruptions=tuple(settings.corruptions),
        corrupted=min(1.0, settings.corrupted / test),
        leaked=leaked,
        confidence=gates.confidence,
        min_examples=gates.min_examples,
    )


def eval_config(gates: Gates, look: "_tfma.Look", models: list[str]) -> "config_pb2.EvalConfig":
    """The gates as TFMA's thresholds."""
    pb = config_pb2
    config = pb.EvalConfig(slicing_specs=[pb.SlicingSpec(), *(pb.SlicingSpec(feature_keys=features) for features in look.slicings)])
    config.slicing_specs.extend(pb.SlicingSpec(feature_keys=[name]) for name in (_tfma.CORRUPTION, _tfma.LEAKED))
    config.options.include_default_metrics.value = False
    for name in models:
        spec = config.model_specs.add(name=name, signature_name="serving_default", model_type="tf_generic", is_baseline=name == BASELINE)
        spec.label_key, spec.prediction_key = _tfma.LABEL, _tfma.PROBABILITIES
    accuracy, upper, brier, ece, *others = _metric_configs(look)
    overall = accuracy.per_slice_thresholds.add(slicing_specs=[pb.SlicingSpec()]).threshold
    overall.value_threshold.lower_bound.value = gates.accuracy
    if BASELINE in models and gates.drop is not None:
        overall.change_threshold.absolute.value = -gates.drop - ROUNDING
        overall.change_threshold.direction = pb.MetricDirection.HIGHER_IS_BETTER
    floors = [({_tfma.LABEL: str(label)}, gates.per_class) for label in range(look.classes)]
    floors += [(dict([*part.split("="), ""][:2] for part in name.split(", ")), floor) for name, floor in gates.slices.items()]
    floors += [({_tfma.CORRUPTION: name}, floor) for name, floor in gates.corruptions.items()]
    for features, floor in floors:
        values, keys = {k: v for k, v in features.items() if v}, [k for k, v in features.items() if not v]
        threshold = upper.per_slice_thresholds.add(slicing_specs=[pb.SlicingSpec(feature_keys=keys, feature_values=values)]).threshold
        threshold.value_threshold.lower_bound.value = floor
    for metric, ceiling in ((brier, gates.brier), (ece, gates.ece)):
        if ceiling is not None:
            bound = metric.per_slice_thresholds.add(slicing_specs=[pb.SlicingSpec()]).threshold
            bound.value_threshold.upper_bound.value = ceiling
    judged = [name for name in models if name != BEST]
    config.metrics_specs.add(metrics=[accuracy, upper, brier, ece, *others], model_names=judged)
    if BEST in models:
        config.metrics_specs.add(metrics=_metric_configs(look), model_names=[BEST])
    return config


def _metric_configs(look: "_tfma.Look") -> "list[config_pb2.MetricConfig]":
    """Accuracy, its upper bound, Brier score, expected calibration error, and what no gate is on."""
    own = {"module": "components._tfma_metrics"}
    settings = {"classes": look.classes, "confidence": look.confidence, "min_examples": look.min_examples}
    found = [
        ("SparseCategoricalAccuracy", {"name": _metrics.ACCURACY}, {}),
        ("AccuracyUpperBound", {"name": _metrics.UPPER} | settings, own),
        ("BrierScore", {"name": _metrics.BRIER} | settings, own),
        ("ExpectedCalibrationError", {"name": _metrics.ECE} | settings, own),
        ("SparseCategoricalCrossentropy", {"name": _metrics.LOSS}, {}),
        ("ExampleCount", {}, {}),
        ("MultiClassConfusionMatrixPlot", {}, {}),
    ]
    return [config_pb2.MetricConfig(class_name=name, config=json.dumps(config), **module) for name, config, module in found]


def _agree(judged: list[Judged], validation_ok: bool) -> None:
    shared = [gate for gate in judged if gate.gate.split(".")[0] in BY_TFMA]
    if validation_ok and not all(gate.passed for gate in shared if gate.value is not None):
        raise GatelineError("TFMA's validation passed what its metrics refuse", "This is a defect of gateline: please report it.")
    if not validation_ok and all(gate.passed for gate in shared):
        raise GatelineError("TFMA's validation refused what its metrics pass", "This is a defect of gateline: please report it.")


def _metrics_of(output: Path, model: str, look: "_tfma.Look") -> dict[str, Any]:
    """TFMA's record of one model as JSON values."""
    result = tfma.load_eval_result(str(output), model_name=model)
    rows = {key: _row({name: next(iter(v.values())) for name, v in values[""][""].items()}) for key, values in result.slicing_metrics}
    plots = dict(result.plots)[()][""][""]
    confusion = np.zeros((look.classes, look.classes), int)
    for cell in plots["multiClassConfusionMatrixAtThresholds"]["matrices"][0]["entries"]:
        confusion[cell.get("actualClassId", 0), cell.get("predictedClassId", 0)] = cell["numWeightedExamples"]
    apart = (_tfma.CORRUPTION, _tfma.LEAKED)
    named = {_slice_name(key, look): row for key, row in sorted(rows.items(), key=str) if key and key[0][0] not in apart}
    leaked = rows.get(((_tfma.LEAKED, "yes"),))
    return {
        "overall": rows[()],
        "slices": named,
        "corruptions": {c: rows[((_tfma.CORRUPTION, c),)] for c in look.corruptions if ((_tfma.CORRUPTION, c),) in rows},
        "with_leaked": _joined(rows[()], leaked) if leaked else None,
        "confusion": confusion.tolist(),
        "calibration": [_bucket(bucket) for bucket in plots["calibrationHistogramBuckets"]["buckets"]],
    }


def _row(values: dict[str, Any]) -> dict[str, Any]:
    """TFMA gives what is not a number as the string "NaN"."""
    count, accuracy = int(values[_metrics.EXAMPLE_COUNT]), float(values[_metrics.ACCURACY])
    names = {"loss": _metrics.LOSS, "brier": _metrics.BRIER, "ece": _metrics.ECE, "upper": _metrics.UPPER}
    interval = _paired.interval(round(accuracy * count), count)
    return {"count": count, "accuracy": accuracy, "interval": list(interval)} | {k: float(values[v]) for k, v in names.items()}


def _joined(row: dict[str, Any], leaked: dict[str, Any]) -> dict[str, Any]:
    """Count and means of two sets together; what is no mean (calibration error, bounds) is left out."""
    count = row["count"] + leaked["count"]
    means = {k: (row[k] * row["count"] + leaked[k] * leaked["count"]) / count for k in ("accuracy", "loss", "brier")}
    return {"count": count, **means, "interval": list(_paired.interval(round(means["accuracy"] * count), count)), "ece": None}


def _bucket(bucket: dict[str, Any]) -> dict[str, Any]:
    count = float(bucket.get("numWeightedExamples", 0))
    mean = lambda name: float(bucket.get(name, 0)) / count if count else None  # noqa: E731
    edges = {"low": bucket.get("lowerThresholdInclusive", 0.0), "high": bucket["upperThresholdExclusive"]}
    return {**edges, "count": int(count), "confidence": mean("totalWeightedRefinedPrediction"), "accuracy": mean("totalWeightedLabel")}


def _slice_name(key: tuple[tuple[str, Any], ...], look: "_tfma.Look") -> str:
    """Features in the order of the configuration: label=3, ink=below 0.1."""
    values = dict(key)
    features = next(features for features in look.slicings if set(features) == set(values))
    return ", ".join(f"{name}={values[name]}" for name in features)


def _finite(value: Any) -> Any:
    """JSON has no number for what is not a number: null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _leave_probes(examples: Examples, out: Path) -> None:
    """A few raw records and the probabilities that they were given, for the serving check."""
    _, path, count = next(examples.shards("test"))
    records = next(example.read(path, count, PROBES))
    with tf.io.TFRecordWriter(str(out / "probes.tfrecord")) as writer:
        for record in records:
            writer.write(record)
    rows = pq.read_table(out / _tfma.PREDICTIONS / f"{path.stem}.parquet").slice(0, len(records))
    np.save(out / "probes.npy", np.stack(rows[_tfma.PROBABILITIES].to_numpy()))
