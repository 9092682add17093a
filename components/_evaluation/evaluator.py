"""TensorFlow Model Analysis with the Python work done per batch instead of per example.

An ordinary EvalConfig goes through TFMA's own predictions, threshold validation and writers; only the evaluator is
ours. Stock TFMA passes each example to each of its slices as a Python object. Here a batch and a slice become one row
of sums, which is a monoid, and all metrics follow from them (`components._evaluation.metrics`).
"""

import math
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etils import epy

from components._data.decoding import to_arrays
from components._data.images import lossless
from components._evaluation import compat, corruptions, measures, metrics
from schemas import example, shard_reader
from schemas.artifacts.evaluation import PREDICTIONS
from schemas.image_counts import slice_value
from schemas.model_input import ModelInput
from schemas.settings.evaluate import RESERVED

with epy.lazy_imports():
    import apache_beam as beam
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import tensorflow_model_analysis as tfma

Sums = tuple[metrics.Sums, ...]  # one for each model
LABEL, INDEX, FILE, PROBABILITIES = "label", "source/index", "source/file", "probabilities"
# INPUT is the signature's parameter. TFMA calls it by keyword; by position, TensorFlow formats an error first. The
# others are features of images that the metrics of the test split exclude.
INPUT, CORRUPTION, LEAKED, FRESH = RESERVED
ORIGIN = "origin"
# TFMA merges plots of these names; of others it would load only one.
CONFUSION, CALIBRATION = "confusion_matrix_plot", "calibration_plot"
SPREAD = 2654435761  # Knuth's multiplicative hash: spreads indices over 32 bits


@dataclass(frozen=True)
class EvaluationPlan:
    """Which slices, derived features and corruptions are measured, and how."""

    model_input: ModelInput
    classes: int
    slicings: tuple[tuple[str, ...], ...]  # features of each
    derived: dict[str, list[float]]  # edges by measure
    corruptions: tuple[str, ...]
    corrupted: float  # share of test images
    leaked: frozenset[int]  # source indices
    fresh: frozenset[int] | None  # the same of the fresh slice; None where there is no such slice
    confidence: float
    min_examples: int
    metadata: tuple[str, ...] = ()  # features of slicings that are columns of a table
    unused: tuple[int, ...] = ()  # classes that never occur
    images: int = 0  # in the test split
    values: Mapping[str, int] = field(default_factory=dict)  # by feature: those with at least min_examples test images


def evaluate(
    pipeline: "beam.Pipeline",
    config: Any,
    shards: list[tuple[str, int, bool]],
    models: dict[str, Path],
    baseline: str | None,
    plan: EvaluationPlan,
    out: Path,
) -> None:
    """Evaluates the SavedModels `models`, by name, on raw records. Writes TFMA's output and predictions to `out`.

    `config` names the same models and has no change threshold without a baseline.
    """
    config = tfma.utils.update_eval_config_with_defaults(config, has_baseline=baseline is not None)
    specs = config.model_specs  # TFMA calls a single model "" from here on
    paths = dict(zip((s.name for s in specs), models.values(), strict=True)) if len(specs) == 1 else models
    shared = [
        tfma.default_eval_shared_model(
            str(paths[s.name]), model_name=s.name, eval_config=config, include_default_metrics=False
        )
        for s in specs
    ]
    extractors = [tfma.extractors.PredictionsExtractor(config, shared)]
    names = [s.name for s in specs]
    evaluators = [
        tfma.evaluators.Evaluator("Evaluate", extractors[-1].stage_name, _compute(config, names, baseline, plan))
    ]
    writers = [
        *tfma.default_writers(str(out / "tfma"), shared, config, display_only_data_location="test"),
        tfma.writers.Writer("WritePredictions", _write_predictions(str(out / PREDICTIONS))),
    ]
    batches = pipeline | beam.Create(shards) | beam.Reshuffle() | "read" >> beam.FlatMap(read_batches, plan)
    _ = batches | tfma.ExtractEvaluateAndWriteResults(
        eval_shared_model=shared, eval_config=config, extractors=extractors, evaluators=evaluators, writers=writers
    )


def read_batches(shard: tuple[str, int, bool], plan: EvaluationPlan) -> Iterator[dict[str, Any]]:
    """A shard as TFMA's batched extracts, and its corrupted images. Records stay whole: the signature parses them.

    `shard`: path, records, and whether it belongs to split `fresh`.

    Raises:
        DataError: the shard is damaged.
    """
    path, count, fresh = shard
    leaked = list((plan.fresh if fresh else plan.leaked) or ())
    # Encoded images become larger when they are decoded, so their number is bounded, too.
    most = 1000 if plan.model_input.raw else max(1, min(1000, example.BATCH_BYTES // math.prod(plan.model_input.shape)))
    for number, records in enumerate(shard_reader.read(Path(path), count, most)):
        columns = shard_reader.parse(records, Path(path), plan.metadata)
        columns |= {name: _slice_values(columns.pop(example.METADATA + name)) for name in plan.metadata}
        images = to_arrays(columns["image"], plan.model_input)
        for measure in plan.derived:
            columns[measure] = measures.binned(measures.MEASURES[measure](images), plan.derived[measure])
        del columns["image"]
        columns[LEAKED] = np.isin(columns[INDEX], leaked)
        columns[CORRUPTION] = np.full(len(records), "", object)
        columns[FRESH] = np.full(len(records), fresh)
        yield _extracts(records, columns, path, number)
        if fresh:
            continue
        chosen = np.flatnonzero((columns[INDEX] * SPREAD % 2**32 < plan.corrupted * 2**32) & ~columns[LEAKED])
        for names in _at_once(plan.corruptions, images[chosen].nbytes):
            pictures = images[chosen], columns[LABEL][chosen], columns[INDEX][chosen]
            corrupted = _corrupted(*pictures, names, encoded=plan.model_input.raw is None)
            yield _extracts(*corrupted, path, number)


def _slice_values(column: "np.ndarray") -> "np.ndarray":
    """Values of a metadata column in the names of slices."""
    return np.array([slice_value(value.decode()) for value in column.tolist()], object)


def _at_once(corruptions: tuple[str, ...], size: int) -> Iterator[tuple[str, ...]]:
    """The corruptions in groups, so that images of `size` bytes make batches of bounded size."""
    many = max(1, example.BATCH_BYTES // max(size, 1))
    for start in range(0, len(corruptions) if size else 0, many):
        yield corruptions[start : start + many]


def _corrupted(
    images: "np.ndarray", labels: "np.ndarray", index: "np.ndarray", names: tuple[str, ...], *, encoded: bool
) -> tuple[list[bytes], dict[str, "np.ndarray"]]:
    """Records and columns of the same images, corrupted in each way."""
    encode = example.encoder("", "", "")
    corrupted = [corruptions.corrupt(name, images, index) for name in names]
    records = [
        encode(image, label, position, lossless(image) if encoded else b"")
        for each in corrupted
        for image, label, position in zip(each, labels.tolist(), index.tolist(), strict=True)
    ]
    columns = {LABEL: np.tile(labels, len(names)), INDEX: np.tile(index, len(names))}
    columns |= {LEAKED: np.zeros(len(records), bool), FRESH: np.zeros(len(records), bool)}
    return records, columns | {CORRUPTION: np.repeat(np.array(names, object), len(images))}


def _extracts(records: list[bytes], columns: dict[str, "np.ndarray"], path: str, number: int) -> dict[str, Any]:
    origin = np.array([(path, number)] * len(records), object)  # TFMA wants a row per example in every extract
    raw = np.array(records, object)
    return {tfma.INPUT_KEY: raw, tfma.FEATURES_KEY: {INPUT: raw, **columns}, ORIGIN: origin}


def _compute(config: Any, models: list[str], baseline: str | None, plan: EvaluationPlan) -> "beam.PTransform":
    """What TFMA's own evaluator returns (metrics, plots, validations), and the predictions."""
    wanted, bounds = compat.metric_names(config), metrics.bounds_in(config)

    def expand(batches: "beam.PCollection") -> dict[str, "beam.PCollection"]:
        sliced = (
            batches
            | "sums by slice" >> beam.FlatMap(sums_by_slice, models, plan)
            | "merge" >> beam.CombinePerKey(merged)
        )
        metrics = sliced | "metrics" >> beam.Map(to_metrics, models, baseline, plan, wanted, bounds)
        return {
            tfma.METRICS_KEY: metrics,
            tfma.PLOTS_KEY: sliced | "plots" >> beam.Map(to_plots, models, plan.classes),
            tfma.VALIDATIONS_KEY: metrics | "validate" >> beam.Map(compat.validate, config),
            PREDICTIONS: batches | "predictions" >> beam.FlatMap(to_table, models),
        }

    return beam.ptransform_fn(expand)()


def sums_by_slice(batch: dict[str, Any], models: list[str], plan: EvaluationPlan) -> Iterator[tuple[Any, Sums]]:
    """(TFMA's slice key, sums for each model) of each slice that a batch has examples of."""
    features = batch[tfma.FEATURES_KEY]
    probabilities = _by_model(batch, models).values()
    counted = (features[CORRUPTION] == "") & ~features[LEAKED] & ~features[FRESH]
    groups: dict[Any, list[int]] = defaultdict(list)
    for row in np.flatnonzero(counted).tolist():
        groups[()].append(row)
        for slicing in plan.slicings:
            groups[tuple((name, _value(features[name][row])) for name in sorted(slicing))].append(row)
    for row in np.flatnonzero(~counted).tolist():
        if not features[FRESH][row]:
            groups[((LEAKED, "yes") if features[LEAKED][row] else (CORRUPTION, features[CORRUPTION][row]),)].append(row)
        elif not features[LEAKED][row]:
            groups[((FRESH, "yes"),)].append(row)
    for key, rows in groups.items():
        yield key, tuple(metrics.Sums.of(features[LABEL][rows], p[rows], plan.classes) for p in probabilities)


def merged(every: Iterable[Sums]) -> Sums:
    """The sums of a slice over several batches, for each model."""
    return tuple(map(metrics.Sums.merged, zip(*every, strict=True)))


def _value(value: Any) -> int | str:
    return value.decode() if isinstance(value, bytes) else value if isinstance(value, str) else int(value)


def to_metrics(
    sliced: tuple[Any, Sums],
    models: list[str],
    baseline: str | None,
    plan: EvaluationPlan,
    wanted: set[str],
    bounds: Mapping[str, float],
) -> tuple[Any, dict[Any, float]]:
    """(slice key, sums) to (slice key, metrics by TFMA's keys), differences to the baseline included."""
    by_model: dict[str, dict[str, float]] = {}
    for model, row in zip(models, sliced[1], strict=True):
        values = row.metrics(bounds, plan.min_examples)
        by_model[model] = {name: value for name, value in values.items() if name in wanted}
    key = tfma.metrics.MetricKey
    out = {key(name, model_name=model): value for model, values in by_model.items() for name, value in values.items()}
    for model, values in by_model.items():
        if baseline is not None and model != baseline:
            out |= {key(n, model_name=model, is_diff=True): v - by_model[baseline][n] for n, v in values.items()}
    return sliced[0], out


def to_plots(sliced: tuple[Any, Sums], models: list[str], classes: int) -> tuple[Any, dict[Any, Any]]:
    """(slice key, sums) to (slice key, confusion matrix and calibration as TFMA draws them)."""
    out = {}
    for model, row in zip(models, sliced[1], strict=True):
        plot = tfma.proto.metrics_for_slice_pb2.MultiClassConfusionMatrixAtThresholds()
        matrix = plot.matrices.add(threshold=0.0)
        for label, predicted, count in row.confusion(classes):
            matrix.entries.add(actual_class_id=label, predicted_class_id=predicted, num_weighted_examples=count)
        out[tfma.metrics.PlotKey(CONFUSION, model_name=model)] = plot
        buckets = tfma.proto.metrics_for_slice_pb2.CalibrationHistogramBuckets()
        for i, (count, confidence, right) in enumerate(row.bins.T):
            bucket = buckets.buckets.add(
                lower_threshold_inclusive=i / metrics.BINS, upper_threshold_exclusive=(i + 1) / metrics.BINS
            )
            bucket.num_weighted_examples.value, bucket.total_weighted_label.value = count, right
            bucket.total_weighted_refined_prediction.value = confidence
        out[tfma.metrics.PlotKey(CALIBRATION, model_name=model)] = buckets
    return sliced[0], out


def to_table(batch: dict[str, Any], models: list[str]) -> Iterator[tuple[str, tuple[int, "pa.Table"]]]:
    """(shard, (batch number, rows of index, file, label and each model's probabilities)) of the test split's images."""
    features, (path, number) = batch[tfma.FEATURES_KEY], batch[ORIGIN][0]
    if features[CORRUPTION][0] or features[FRESH][0]:
        return
    files = pa.array([file.decode() for file in features[FILE].tolist()]).dictionary_encode()
    columns = {"index": features[INDEX], "file": files, "label": features[LABEL]}
    for model, p in _by_model(batch, models).items():
        name = PROBABILITIES if model in ("", "candidate") else f"{PROBABILITIES}_{model}"
        columns[name] = pa.FixedSizeListArray.from_arrays(p.astype(np.float32).reshape(-1), p.shape[1])
    yield path, (number, pa.table(columns))


def write_shard(shard: tuple[str, Any], out: str) -> str:
    """One Parquet file for each shard, rows in its order, renamed into place: a worker that runs twice does no harm."""
    path, tables = shard
    target = Path(out) / f"{Path(path).stem}.parquet"
    target.parent.mkdir(exist_ok=True)  # not its parents: a stage that was interrupted has removed them
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    ordered = sorted(tables, key=lambda numbered: numbered[0])
    pq.write_table(pa.concat_tables(table for _, table in ordered), temporary)
    temporary.replace(target)
    return str(target)


def _write_predictions(out: str) -> "beam.PTransform":
    def expand(evaluation: dict[str, "beam.PCollection"]) -> "beam.PCollection":
        return evaluation[PREDICTIONS] | "by shard" >> beam.GroupByKey() | "write shard" >> beam.Map(write_shard, out)

    return beam.ptransform_fn(expand)()


def _by_model(batch: dict[str, Any], models: list[str]) -> dict[str, "np.ndarray"]:
    """TFMA keys predictions by model only if there are several."""
    predictions = batch[tfma.PREDICTIONS_KEY]
    return {m: (predictions[m] if len(models) > 1 else predictions)[PROBABILITIES] for m in models}
