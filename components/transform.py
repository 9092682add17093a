"""transform: computes the model's features, with a graph that is part of the served model."""

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

from components._data import shard_files
from components._training import fingerprint
from pipeline.engine.component import StageRun, component
from schemas import example
from schemas.artifacts import Examples, Features, Verdict
from schemas.contract import Contract
from schemas.errors import DataError
from schemas.settings.transform import Transform

with epy.lazy_imports():
    import apache_beam as beam
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
    from tfx_bsl.coders import example_coder
    from tfx_bsl.tfxio import tf_example_record

BATCH_BYTES = 1_000_000  # raw pixels per batch: enough to make the fixed costs of a batch negligible


@component
def transform(
    examples: Examples, verdict: Verdict, *, contract: Contract, settings: Transform, run: StageRun
) -> Features:
    """Features of train and validation, and the transform graph, whose statistics come from train alone.

    image: float32 [height, width, channels]. label: int64, or float32 [classes] if it is one-hot.

    Raises:
        DataError: a shard is damaged.
    """
    if not verdict.passed:  # gates are edges: the engine does not pass a refused verdict on
        raise DataError("transform was given data that validate refused", verdict.remedy)
    batch = max(1, min(5000, BATCH_BYTES // math.prod(contract.shape)))
    preprocess = functools.partial(preprocessing_fn, shape=contract.shape, classes=contract.classes, settings=settings)
    # Without an analyzer nothing is computed from train, so it is not read.
    raw_specs = {name: tf.TensorSpec([None], spec.dtype) for name, spec in _spec().items()}
    analyzed = tft.get_analyze_input_columns(preprocess, raw_specs)
    train = [(str(path), count) for _, path, count in examples.shards("train") if analyzed]
    with run.beam() as pipeline, tft_beam.Context(str(run.scratch)):
        raw = pipeline | beam.Create(train) | beam.Reshuffle() | "read" >> beam.FlatMap(record_batches, batch)
        graph = (raw, _tensors()) | "analyze" >> tft_beam.AnalyzeDataset(preprocess)
        graph | "write graph" >> tft_beam.WriteTransformFn(str(run.out))
    # tf.Transform needs it to load the graph.
    metadata_io.write_metadata(_raw(), str(run.out / tft.TFTransformOutput.RAW_METADATA_DIR))
    shards = list(dict.fromkeys((str(path), count) for _, path, count in examples.shards("train", "validation")))
    with run.beam() as pipeline:
        transformed = pipeline | beam.Create(shards) | beam.Reshuffle()
        transformed | "transform" >> beam.Map(transform_shard, str(run.out), batch)
    splits = {name: examples.splits[name] for name in ("train", "validation")}
    return Features(
        run.out,
        splits=splits,
        shape=contract.shape,
        classes=contract.classes,
        one_hot=settings.label == "one_hot",
        graph=fingerprint.of(run.out / tft.TFTransformOutput.TRANSFORM_FN_DIR),
    )


def preprocessing_fn(
    inputs: dict[str, Any], *, shape: tuple[int, int, int], classes: int, settings: Transform
) -> dict[str, Any]:
    """The transform graph. Mean and variance, which need a pass over the data, are one tf.Transform analyzer."""
    # The number of records is stated: otherwise a record of another size would count as several images, or as none.
    pixels = tf.reshape(tf.io.decode_raw(inputs["image"], tf.uint8), [tf.shape(inputs["image"])[0], *shape])
    image = tf.cast(pixels, tf.float32)
    if settings.scale == "unit":
        image /= 255.0
    else:
        mean, variance = _moments(pixels)
        image = (image - mean) / tf.sqrt(tf.maximum(variance, 1e-6))
    label = inputs["label"]
    return {"image": image, "label": tf.one_hot(label, classes) if settings.label == "one_hot" else label}


def _moments(pixels: Any) -> tuple[Any, Any]:
    """Mean and variance per channel over all images, float32 [channels].

    Computed from sums of integers, which are exact: `tft.mean` adds floats in the order in which Beam merges them. All
    sums are one analyzer, because each analyzer costs a Beam stage.
    """
    count, height, width, channels = (tf.shape(pixels)[0], *pixels.shape[1:])
    narrow = tf.cast(pixels, tf.int32)  # holds the sum of a row; a whole image needs more
    sums = [tf.reduce_sum(tf.cast(tf.reduce_sum(x, 2), tf.int64), 1) for x in (narrow, narrow * narrow)]
    each = tf.concat([tf.fill([count, 1], np.int64(height * width)), *sums], 1)
    total, values, squares = tf.split(tft.sum(each, reduce_instance_dims=False), [1, channels, channels])
    mean = values / total
    return tf.cast(mean, tf.float32), tf.cast(squares / total - mean * mean, tf.float32)


def record_batches(shard: tuple[str, int], batch: int) -> Iterator["pa.RecordBatch"]:
    """Reads a shard as Arrow batches of image and label."""
    path, count = shard
    decoder = example_coder.ExamplesToRecordBatchDecoder(_raw().schema.SerializeToString())
    for records in example.read(Path(path), count, batch):
        yield decoder.DecodeBatch(records)


def transform_shard(shard: tuple[str, int], out: str, batch: int) -> None:
    """Applies the transform graph, the one that is served, to a shard and writes the result."""
    path, count = shard
    apply = _graph(out)
    with shard_files.writer(Path(out) / Path(path).name) as records:
        for raw in example.read(Path(path), count, batch):
            for record in example.encode({name: column.numpy() for name, column in apply(tf.constant(raw)).items()}):
                records.write(record)


@functools.lru_cache(1)
def _graph(directory: str) -> Any:
    """A function (serialized records) -> transformed columns."""
    output = tft.TFTransformOutput(directory)
    layer = output.transform_features_layer()
    return tf.function(lambda records: layer(tf.io.parse_example(records, _spec())))


def _spec() -> dict[str, Any]:
    return {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}


def _raw() -> "dataset_metadata.DatasetMetadata":
    return dataset_metadata.DatasetMetadata.from_feature_spec(_spec())


def _tensors() -> Any:
    return tf_example_record.TFExampleBeamRecord(physical_format="tfrecord", schema=_raw().schema).TensorAdapterConfig()
