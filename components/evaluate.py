"""evaluate: TensorFlow Model Analysis on the raw test examples, and the accuracy gates."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from etils import epy

from components import _tfma
from pipeline.component import Run, component
from pipeline.files import digest, listing
from schemas import example
from schemas.artifacts import Evaluation, Examples, Model, Served
from schemas.contract import Contract
from schemas.errors import GatelineError
from schemas.settings import Gates

with epy.lazy_imports():
    import numpy as np
    import pyarrow.parquet as pq
    import tensorflow as tf
    import tensorflow_model_analysis as tfma
    from tensorflow_model_analysis.proto import config_pb2

CANDIDATE, BASELINE = "candidate", "baseline"
PROBES = 32
ROUNDING = 1e-9  # a drop of just what is allowed passes, however its floats were rounded


@dataclass(frozen=True)
class Judged:
    """One gate: what was required and what came. `bound` and `came` in the unit of accuracy."""

    gate: str  # the setting
    slice: str  # "overall", or "class 3"
    bound: float
    came: float
    passed: bool
    words: str


@component
def evaluate(model: Model, examples: Examples, baseline: Served | None, *, contract: Contract, gates: Gates, run: Run) -> Evaluation:
    """Passes if accuracy overall, on each class, and against the model now served reach the gates. The thresholds are
    TFMA's, and its validation is what decides.

    Raises:
        GatelineError: TFMA's verdict and its metrics contradict each other.
    """
    saved_model = digest(listing(model.path / "saved_model"))
    models = {CANDIDATE: model.path / "saved_model"} | ({BASELINE: baseline.path} if baseline else {})
    shards = [str(path) for _, path, _ in examples.shards("test")]
    for _, path, count in examples.shards("test"):
        example.check(path, count)  # a damaged shard is named here, before TFMA reads it
    config = eval_config(gates, contract.classes, with_baseline=baseline is not None)
    with run.beam() as pipeline:
        _tfma.evaluate(pipeline, config, shards, models, BASELINE if baseline else None, contract.classes, run.out)
    metrics = {name: _metrics(run.out / "tfma", name if baseline else "", contract.classes) for name in models}
    judged = judge(gates, contract.classes, metrics)
    _agree(judged, tfma.load_validation_result(str(run.out / "tfma")).validation_ok)
    (run.out / "metrics.json").write_text(json.dumps(_finite(metrics), indent=1))
    (run.out / "gates.json").write_text(json.dumps(_finite([asdict(gate) for gate in judged]), indent=2))
    _leave_probes(examples, run.out)
    overall = metrics[CANDIDATE]["overall"]
    run.say(f"accuracy {overall['accuracy']:.4f}, loss {overall['loss']:.4f} on {overall['count']:,} test images")
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


def eval_config(gates: Gates, classes: int, *, with_baseline: bool) -> "config_pb2.EvalConfig":
    """The gates as TFMA's thresholds."""
    pb = config_pb2
    config = pb.EvalConfig(slicing_specs=[pb.SlicingSpec(), pb.SlicingSpec(feature_keys=[_tfma.LABEL])])
    config.options.include_default_metrics.value = False
    for name in [CANDIDATE, BASELINE] if with_baseline else [CANDIDATE]:
        spec = config.model_specs.add(name=name, signature_name="serving_default", model_type="tf_generic", is_baseline=name == BASELINE)
        spec.label_key, spec.prediction_key = _tfma.LABEL, _tfma.PROBABILITIES
    accuracy = pb.MetricConfig(class_name="SparseCategoricalAccuracy", config=json.dumps({"name": _tfma.ACCURACY}))
    overall = accuracy.per_slice_thresholds.add(slicing_specs=[pb.SlicingSpec()]).threshold
    overall.value_threshold.lower_bound.value = gates.accuracy
    if with_baseline:
        overall.change_threshold.absolute.value = -gates.drop - ROUNDING
        overall.change_threshold.direction = pb.MetricDirection.HIGHER_IS_BETTER
    for label in range(classes):
        spec = pb.SlicingSpec(feature_values={_tfma.LABEL: str(label)})
        accuracy.per_slice_thresholds.add(slicing_specs=[spec]).threshold.value_threshold.lower_bound.value = gates.per_class
    loss = pb.MetricConfig(class_name="SparseCategoricalCrossentropy", config=json.dumps({"name": _tfma.LOSS}))
    others = [pb.MetricConfig(class_name="ExampleCount"), loss, pb.MetricConfig(class_name="MultiClassConfusionMatrixPlot")]
    config.metrics_specs.add(metrics=[accuracy, *others])
    return config


def judge(gates: Gates, classes: int, metrics: dict[str, Any]) -> list[Judged]:
    """Each gate with its verdict in words."""
    candidate = metrics[CANDIDATE]
    found = [_floor("accuracy", "overall", gates.accuracy, candidate["overall"])]
    if BASELINE in metrics:
        before = metrics[BASELINE]["overall"]["accuracy"]
        drop = before - candidate["overall"]["accuracy"]
        words = f"accuracy {before - drop:.4f} is {drop:.4f} below the served model's {before:.4f}; gates.drop allows {gates.drop:.4f}"
        found.append(Judged("drop", "overall", gates.drop, drop, drop <= gates.drop + ROUNDING, words))
    return found + [_floor("per_class", f"class {k}", gates.per_class, candidate["classes"].get(str(k))) for k in range(classes)]


def _floor(gate: str, slice_: str, bound: float, found: dict[str, float] | None) -> Judged:
    if found is None:
        return Judged(gate, slice_, bound, math.nan, False, f"{slice_} has no test examples, so gates.{gate} cannot be judged")
    came = found["accuracy"]
    subject = "accuracy" if slice_ == "overall" else f"accuracy on {slice_}"
    words = f"{subject} is {came:.4f}; gates.{gate} asks for {bound:.4f}, {bound - came:.4f} more"
    if not math.isfinite(found["loss"]):
        return Judged(gate, slice_, bound, math.nan, False, f"{slice_}: the model's probabilities are not numbers")
    return Judged(gate, slice_, bound, came, came >= bound, words)


def _agree(judged: list[Judged], validation_ok: bool) -> None:
    if validation_ok and not all(gate.passed for gate in judged if math.isfinite(gate.came)):
        raise GatelineError("TFMA's validation passed what its metrics refuse", "This is a defect of gateline: please report it.")
    if not validation_ok and all(gate.passed for gate in judged):
        raise GatelineError("TFMA's validation refused what its metrics pass", "This is a defect of gateline: please report it.")


def _metrics(output: Path, model: str, classes: int) -> dict[str, Any]:
    """TFMA's record as JSON values: overall and by class count, accuracy and loss; the confusion matrix by rows of labels."""
    result = tfma.load_eval_result(str(output), model_name=model)
    slices = {key: {name: next(iter(v.values())) for name, v in values[""][""].items()} for key, values in result.slicing_metrics}
    rows = {
        # TFMA gives what is not a number as the string "NaN".
        key: {"count": int(v[_tfma.EXAMPLE_COUNT]), "accuracy": float(v[_tfma.ACCURACY]), "loss": float(v[_tfma.LOSS])}
        for key, v in slices.items()
    }
    confusion = np.zeros((classes, classes), int)
    plots = dict(result.plots)[()][""][""]["multiClassConfusionMatrixAtThresholds"]
    for cell in plots["matrices"][0]["entries"]:
        confusion[cell.get("actualClassId", 0), cell.get("predictedClassId", 0)] = cell["numWeightedExamples"]
    by_class = {str(key[0][1]): row for key, row in rows.items() if key}
    return {"overall": rows[()], "classes": by_class, "confusion": confusion.tolist()}


def _finite(value: Any) -> Any:
    """JSON has no number for what is not a number: null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
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
