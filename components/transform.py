"""transform: raw images and labels become what the model reads, by a graph that is served with it."""

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

from components import _shards
from pipeline.component import Run, component
from schemas import example
from schemas.artifacts import Examples, Features, Verdict
from schemas.contract import Contract
from schemas.settings import Transform

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
    with run.beam() as pipeline, tft_beam.Context(str(run.scratch)):
        train = [(str(path), count) for _, path, count in examples.shards("train")]
        raw = pipeline | beam.Create(train) | beam.Reshuffle() | "read" >> beam.FlatMap(record_batches, batch)
        preprocess = functools.partial(preprocessing_fn, shape=contract.shape, classes=contract.classes, settings=settings)
        graph = (raw, _tensors()) | "analyze" >> tft_beam.AnalyzeDataset(preprocess)
        graph | "write graph" >> tft_beam.WriteTransformFn(str(run.out))
    # tf.Transform asks for it when the graph is loaded.
    metadata_io.write_metadata(_raw(), str(run.out / tft.TFTransformOutput.RAW_METADATA_DIR))
    shards = [(str(path), count) for _, path, count in examples.shards("train", "validation")]
    with run.beam(workers=2) as pipeline:
        transformed = pipeline | beam.Create(shards) | beam.Reshuffle()
        transformed | "transform" >> beam.Map(transform_shard, str(run.out), batch)
    splits = {name: examples.splits[name] for name in ("train", "validation")}
    return Features(run.out, splits=splits, shape=contract.shape, classes=contract.classes, one_hot=settings.label == "one_hot")


def preprocessing_fn(inputs: dict[str, Any], *, shape: tuple[int, int, int], classes: int, settings: Transform) -> dict[str, Any]:
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

    From sums of integers, which are exact: `tft.mean` adds floats in the order that Beam happens to merge them.
    """
    _, height, width, _ = pixels.shape
    count = tft.sum(tf.ones_like(pixels[:, 0, 0, 0], tf.int64)) * (height * width)
    narrow = tf.cast(pixels, tf.int32)  # holds the sum of a row; a whole image needs more
    rows = [tf.cast(tf.reduce_sum(x, 2), tf.int64) for x in (narrow, narrow * narrow)]
    mean, square = (tft.sum(tf.reduce_sum(row, 1), reduce_instance_dims=False) / count for row in rows)
    return tf.cast(mean, tf.float32), tf.cast(square - mean * mean, tf.float32)


def record_batches(shard: tuple[str, int], batch: int) -> Iterator["pa.RecordBatch"]:
    """Arrow batches of image and label."""
    path, count = shard
    decoder = example_coder.ExamplesToRecordBatchDecoder(_raw().schema.SerializeToString())
    for records in example.read(Path(path), count, batch):
        yield decoder.DecodeBatch(records)


def transform_shard(shard: tuple[str, int], out: str, batch: int) -> None:
    """One shard through the graph that was just learnt: the very graph that is served."""
    path, count = shard
    encoder = example_coder.RecordBatchToExamplesEncoder()
    apply = _graph(out)
    with _shards.writer(Path(out) / Path(path).name) as records:
        for raw in example.read(Path(path), count, batch):
            columns = {name: column.numpy() for name, column in apply(tf.constant(raw)).items()}
            for record in encoder.encode(pa.RecordBatch.from_pydict({n: _lists(c) for n, c in sorted(columns.items())})):
                # The encoder writes features in any order; the same input must give the same bytes.
                records.write(tf.train.Example.FromString(record).SerializeToString(deterministic=True))


@functools.lru_cache(1)
def _graph(directory: str) -> Any:
    """A function (serialized records) -> transformed columns."""
    output = tft.TFTransformOutput(directory)
    layer = output.transform_features_layer()
    spec = {name: example.feature_spec()[name] for name in ("image", "label")}
    return tf.function(lambda records: layer(tf.io.parse_example(records, spec)))


def _lists(column: "np.ndarray") -> "pa.Array":
    """[batch, ...] as an Arrow list array, a list for each example."""
    flat = np.ascontiguousarray(column).reshape(-1)
    width = flat.size // max(1, len(column))
    return pa.ListArray.from_arrays(np.arange(0, flat.size + 1, width, dtype=np.int32), pa.array(flat))


def _raw() -> "dataset_metadata.DatasetMetadata":
    spec = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    return dataset_metadata.DatasetMetadata.from_feature_spec(spec)


def _tensors() -> Any:
    return tf_example_record.TFExampleBeamRecord(physical_format="tfrecord", schema=_raw().schema).TensorAdapterConfig()
