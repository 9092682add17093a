"""transform: raw images and labels become what the model reads, by a graph that is served with it."""

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

from components._data import shard_files
from components._training import fingerprint
from pipeline.engine.component import Run, component
from schemas import example
from schemas.artifacts import Examples, Features, Verdict
from schemas.contract import Contract
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

BATCH_BYTES = 1_000_000  # of raw pixels in a batch: enough that its fixed costs vanish


@component
def transform(examples: Examples, verdict: Verdict, *, contract: Contract, settings: Transform, run: Run) -> Features:
    """Features of train and validation, and the transform graph, which is learnt from train alone.

    image: float32 [height, width, channels]. label: int64, or float32 [classes] where it is one-hot.

    Raises:
        DataError: a shard is damaged.
    """
    assert verdict.passed
    batch = max(1, min(5000, BATCH_BYTES // math.prod(contract.shape)))
    preprocess = functools.partial(preprocessing_fn, shape=contract.shape, classes=contract.classes, settings=settings)
    # Without an analyzer there is nothing to learn, and train is not read.
    learnt = tft.get_analyze_input_columns(
        preprocess, {n: tf.TensorSpec([None], spec.dtype) for n, spec in _spec().items()}
    )
    train = [(str(path), count) for _, path, count in examples.shards("train") if learnt]
    with run.beam() as pipeline, tft_beam.Context(str(run.scratch)):
        raw = pipeline | beam.Create(train) | beam.Reshuffle() | "read" >> beam.FlatMap(record_batches, batch)
        graph = (raw, _tensors()) | "analyze" >> tft_beam.AnalyzeDataset(preprocess)
        graph | "write graph" >> tft_beam.WriteTransformFn(str(run.out))
    # tf.Transform asks for it when the graph is loaded.
    metadata_io.write_metadata(_raw(), str(run.out / tft.TFTransformOutput.RAW_METADATA_DIR))
    shards = list(dict.fromkeys((str(path), count) for _, path, count in examples.shards("train", "validation")))
    with run.beam() as pipeline:
        transformed = pipeline | beam.Create(shards) | beam.Reshuffle()
        transformed | "transform" >> beam.Map(transform_shard, str(run.out), batch)
    splits = {name: examples.splits[name] for name in ("train", "validation")}
    computes = fingerprint.of(run.out / tft.TFTransformOutput.TRANSFORM_FN_DIR)
    one_hot = settings.label == "one_hot"
    return Features(
        run.out, splits=splits, shape=contract.shape, classes=contract.classes, one_hot=one_hot, graph=computes
    )


def preprocessing_fn(
    inputs: dict[str, Any], *, shape: tuple[int, int, int], classes: int, settings: Transform
) -> dict[str, Any]:
    """The graph. What needs a pass over the data (mean and variance) is an analyzer of tf.Transform."""
    pixels = tf.reshape(tf.io.decode_raw(inputs["image"], tf.uint8), [-1, *shape])
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

    From sums of integers, which are exact: `tft.mean` adds floats in the order that Beam happens to merge them. All sums are
    one analyzer, since each costs a stage of Beam.
    """
    count, height, width, channels = (tf.shape(pixels)[0], *pixels.shape[1:])
    narrow = tf.cast(pixels, tf.int32)  # holds the sum of a row; a whole image needs more
    sums = [tf.reduce_sum(tf.cast(tf.reduce_sum(x, 2), tf.int64), 1) for x in (narrow, narrow * narrow)]
    each = tf.concat([tf.fill([count, 1], np.int64(height * width)), *sums], 1)
    total, values, squares = tf.split(tft.sum(each, reduce_instance_dims=False), [1, channels, channels])
    mean = values / total
    return tf.cast(mean, tf.float32), tf.cast(squares / total - mean * mean, tf.float32)


def record_batches(shard: tuple[str, int], batch: int) -> Iterator["pa.RecordBatch"]:
    """Arrow batches of image and label."""
    path, count = shard
    decoder = example_coder.ExamplesToRecordBatchDecoder(_raw().schema.SerializeToString())
    for records in example.read(Path(path), count, batch):
        yield decoder.DecodeBatch(records)


def transform_shard(shard: tuple[str, int], out: str, batch: int) -> None:
    """One shard through the graph that was just learnt: the very graph that is served."""
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
