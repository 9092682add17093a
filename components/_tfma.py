"""TensorFlow Model Analysis with the Python work done per batch instead of per example.

An ordinary EvalConfig with stock metrics goes through TFMA's own extractors, slicer, threshold validation and writers; only
the evaluator is ours. Stock TFMA hands each example to each slice it belongs to, as a Python object; here a batch and a
slice are one confusion matrix and one sum of losses, which is a monoid, and all metrics follow from them.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

with epy.lazy_imports():
    import apache_beam as beam
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import tensorflow_model_analysis as tfma
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_model_analysis import constants
    from tensorflow_model_analysis.evaluators import metrics_validator
    from tensorflow_model_analysis.metrics import metric_specs
    from tensorflow_model_analysis.proto import metrics_for_slice_pb2
    from tensorflow_model_analysis.slicer import slicer_lib
    from tensorflow_model_analysis.utils import config_util
    from tfx_bsl.public import tfxio

LABEL, INDEX, PROBABILITIES = "label", "source/index", "probabilities"
INPUT = "examples"  # the signature's parameter: TFMA then calls it by keyword; by position TensorFlow first formats an error
ORIGIN = "origin"
PREDICTIONS = "predictions"
EXAMPLE_COUNT, ACCURACY, LOSS, CONFUSION = "example_count", "accuracy", "loss", "multi_class_confusion_matrix_plot"
EPSILON = 1e-7  # Keras clips probabilities there
BATCH = 1000


def evaluate(
    pipeline: "beam.Pipeline", config: Any, shards: list[str], models: dict[str, Path], baseline: str | None, classes: int, out: Path
) -> None:
    """Evaluate the SavedModels `models`, by name, on raw records: TFMA's output in `out/tfma`, rows in `out/predictions`.

    `config` names the same models and has no change threshold without a baseline.
    """
    config = config_util.update_eval_config_with_defaults(config, has_baseline=baseline is not None)
    found = {key.name for key, *_ in metric_specs.keys_and_metrics_from_specs(config, config.metrics_specs)}
    assert found == {EXAMPLE_COUNT, ACCURACY, LOSS, CONFUSION}, found
    specs = config.model_specs  # TFMA calls a single model "" from here on
    paths = dict(zip((s.name for s in specs), models.values(), strict=True)) if len(specs) == 1 else models
    shared = [
        tfma.default_eval_shared_model(str(paths[s.name]), model_name=s.name, eval_config=config, include_default_metrics=False)
        for s in specs
    ]
    extractors = [tfma.extractors.FeaturesExtractor(config), tfma.extractors.PredictionsExtractor(config, shared)]
    names = [s.name for s in specs]
    evaluators = [tfma.evaluators.Evaluator("Evaluate", extractors[-1].stage_name, _compute(config, names, baseline, classes))]
    writers = [
        *tfma.default_writers(str(out / "tfma"), shared, config, display_only_data_location="test"),
        tfma.writers.Writer("WritePredictions", _write_predictions(str(out / PREDICTIONS))),
    ]
    batches = pipeline | beam.Create(shards) | beam.Reshuffle() | "read" >> beam.FlatMap(read_batches)
    _ = batches | tfma.ExtractEvaluateAndWriteResults(
        eval_shared_model=shared, eval_config=config, extractors=extractors, evaluators=evaluators, writers=writers
    )


def read_batches(path: str) -> Iterator[dict[str, Any]]:
    """A shard as TFMA's batched extracts; the raw records stay whole, since the signature parses them."""
    schema = schema_pb2.Schema(feature=[schema_pb2.Feature(name=f, type=schema_pb2.INT) for f in (LABEL, INDEX)])
    source = tfxio.TFExampleRecord([path], schema=schema, raw_record_column_name=tfma.ARROW_INPUT_COLUMN)
    options = tfxio.RecordBatchesOptions(BATCH, num_epochs=1, shuffle=False)
    for number, batch in enumerate(source.RecordBatches(options)):
        raw = np.asarray(batch.column(tfma.ARROW_INPUT_COLUMN).flatten())
        origin = np.array([(path, number)] * len(raw), object)  # TFMA wants a row per example in every extract
        yield {tfma.ARROW_RECORD_BATCH_KEY: batch, tfma.FEATURES_KEY: {INPUT: raw}, ORIGIN: origin}


def _compute(config: Any, models: list[str], baseline: str | None, classes: int) -> "beam.PTransform":
    """What TFMA's own evaluator returns (metrics, plots, validations), and the predictions."""

    def expand(batches: "beam.PCollection") -> dict[str, "beam.PCollection"]:
        sliced = (
            batches
            | "sums by slice" >> beam.FlatMap(sums_by_slice, list(config.slicing_specs), models, classes)
            | "merge" >> beam.CombinePerKey(sum)
        )
        metrics = sliced | "metrics" >> beam.Map(to_metrics, models, baseline, classes)
        return {
            constants.METRICS_KEY: metrics,
            constants.PLOTS_KEY: sliced | "plots" >> beam.Map(to_plots, models, classes),
            constants.VALIDATIONS_KEY: metrics | "validate" >> beam.Map(metrics_validator.validate_metrics, config),
            PREDICTIONS: batches | "predictions" >> beam.Map(to_table, models),
        }

    return beam.ptransform_fn(expand)()


def sums(labels: "np.ndarray", probabilities: "np.ndarray", classes: int) -> "np.ndarray":
    """[confusion matrix, flattened, row = label; sum of losses], float64. The loss is Keras's categorical cross-entropy."""
    p = np.clip(probabilities.astype(np.float64), EPSILON, 1 - EPSILON)
    known = np.clip(labels, 0, classes - 1)
    loss = np.log(p.sum(1)) - np.log(p[np.arange(len(p)), known])
    confusion = np.bincount(known * classes + probabilities.argmax(1), minlength=classes**2)
    return np.append(confusion.astype(np.float64), loss.sum())


def sums_by_slice(batch: dict[str, Any], specs: list[Any], models: list[str], classes: int) -> Iterator[tuple[Any, "np.ndarray"]]:
    """(slice key, float64 [models, classes**2 + 1]) of each slice that a batch has examples of."""
    labels = _integers(batch, LABEL)
    slices = [slicer_lib.SingleSliceSpec(spec=spec) for spec in specs]
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        found = np.stack([sums(labels[rows], p[rows], classes) for p in _by_model(batch, models).values()])
        for key in slicer_lib.get_slices_for_features_dicts([], {LABEL: np.array([label])}, slices):
            yield key, found


def to_metrics(sliced: tuple[Any, "np.ndarray"], models: list[str], baseline: str | None, classes: int) -> tuple[Any, dict[Any, float]]:
    """(slice key, sums) to (slice key, metrics by TFMA's keys), differences to the baseline included."""
    found: dict[str, dict[str, float]] = {}
    for model, row in zip(models, sliced[1], strict=True):
        count, correct = row[:-1].sum(), row[: -1 : classes + 1].sum()
        found[model] = {EXAMPLE_COUNT: float(count), ACCURACY: float(correct / count), LOSS: float(row[-1] / count)}
    key = tfma.metrics.MetricKey
    out = {key(name, model_name=model): value for model, values in found.items() for name, value in values.items()}
    for model, values in found.items() if baseline else ():
        if model != baseline:
            out |= {key(n, model_name=model, is_diff=True): v - found[baseline][n] for n, v in values.items()}
    return sliced[0], out


def to_plots(sliced: tuple[Any, "np.ndarray"], models: list[str], classes: int) -> tuple[Any, dict[Any, Any]]:
    """(slice key, sums) to (slice key, confusion matrices as TFMA draws them)."""
    out = {}
    for model, row in zip(models, sliced[1], strict=True):
        plot = metrics_for_slice_pb2.MultiClassConfusionMatrixAtThresholds()
        matrix = plot.matrices.add(threshold=0.0)
        for cell in np.flatnonzero(row[:-1]):
            matrix.entries.add(actual_class_id=cell // classes, predicted_class_id=cell % classes, num_weighted_examples=row[cell])
        out[tfma.metrics.PlotKey(CONFUSION, model_name=model)] = plot
    return sliced[0], out


def to_table(batch: dict[str, Any], models: list[str]) -> tuple[str, tuple[int, "pa.Table"]]:
    """(shard, (batch number, rows of index, label and each model's probabilities))."""
    path, number = batch[ORIGIN][0]
    columns = {"index": _integers(batch, INDEX), "label": _integers(batch, LABEL)}
    for model, p in _by_model(batch, models).items():
        name = f"{PROBABILITIES}_{model}" if model == "baseline" else PROBABILITIES
        columns[name] = pa.FixedSizeListArray.from_arrays(p.astype(np.float32).reshape(-1), p.shape[1])
    return path, (number, pa.table(columns))


def write_shard(shard: tuple[str, Any], out: str) -> str:
    """One Parquet file for each shard, rows in its order, renamed into place: a worker that runs twice does no harm."""
    path, tables = shard
    target = Path(out) / f"{Path(path).stem}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    ordered = sorted(tables, key=lambda numbered: numbered[0])
    pq.write_table(pa.concat_tables(table for _, table in ordered), temporary)
    temporary.replace(target)
    return str(target)


def _write_predictions(out: str) -> "beam.PTransform":
    def expand(evaluation: dict[str, "beam.PCollection"]) -> "beam.PCollection":
        return evaluation[PREDICTIONS] | "by shard" >> beam.GroupByKey() | "write shard" >> beam.Map(write_shard, out)

    return beam.ptransform_fn(expand)()


def _integers(batch: dict[str, Any], name: str) -> "np.ndarray":
    return batch[tfma.FEATURES_KEY][name].reshape(-1).astype(np.int64)


def _by_model(batch: dict[str, Any], models: list[str]) -> dict[str, "np.ndarray"]:
    """TFMA keys predictions by model only if there are several."""
    predictions = batch[tfma.PREDICTIONS_KEY]
    return {m: (predictions[m] if len(models) > 1 else predictions)[PROBABILITIES] for m in models}
