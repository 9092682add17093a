"""transform: images at the model's size, and the preprocessing graph that is part of the served model."""

import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from etils import epy

from components._data import decoding, shard_files
from components._data.reuse import Reuse, shard_digests
from components._training import fingerprint
from pipeline.engine.component import StageRun, component
from schemas import compat, disk, example, shard_reader
from schemas.artifacts import Examples, Features, Split, Verdict
from schemas.contract import Contract
from schemas.errors import DataError
from schemas.model_input import ModelInput
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

# Per channel, of ImageNet's training images in [0, 1]: the constants that published networks were trained with.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH_BYTES = 1_000_000  # pixels per batch: enough to make the fixed costs of a batch negligible
MIN_IMAGES = 16  # encoded images of a batch: all cores decode


@component
def transform(
    examples: Examples, verdict: Verdict, *, contract: Contract, settings: Transform, run: StageRun
) -> Features:
    """Images of train and validation at the model's size, with labels; and the preprocessing graph.

    Features: image, bytes: uint8 pixels as in raw records, or the image as it is recorded. label: int64. The graph
    turns them into image float32 [height, width, channels] and label int64, or float32 [classes] if it is one-hot; its
    statistics come from train alone.

    Raises:
        ConfigurationError: images have several sizes, and `settings` states none.
        DataError: a shard is damaged.
    """
    if not verdict.passed:  # gates are edges: the engine does not pass a refused verdict on
        raise DataError("transform was given data that validate refused", verdict.remedy)
    model_input = ModelInput.of(contract, settings)
    preprocess = functools.partial(
        preprocessing_fn, shape=model_input.shape, classes=contract.classes, settings=settings
    )
    # Without an analyzer nothing is computed from train, so it is not read.
    raw_specs = {name: tf.TensorSpec([None], spec.dtype) for name, spec in _spec().items()}
    analyzed = tft.get_analyze_input_columns(preprocess, raw_specs)
    train = [(str(path), count) for _, path, count in examples.shards("train") if analyzed]
    with run.beam() as pipeline, tft_beam.Context(str(run.scratch)):
        raw = pipeline | beam.Create(train) | beam.Reshuffle() | "read" >> beam.FlatMap(record_batches, model_input)
        graph = (raw, _tensors()) | "analyze" >> tft_beam.AnalyzeDataset(preprocess)
        graph | "write graph" >> tft_beam.WriteTransformFn(str(run.out))
    # tf.Transform needs it to load the graph.
    metadata_io.write_metadata(_raw(), str(run.out / tft.TFTransformOutput.RAW_METADATA_DIR))
    splits = {name: examples.splits[name] for name in ("train", "validation")}
    shards = list(dict.fromkeys((str(path), count) for _, path, count in examples.shards(*splits)))
    pixels = model_input.as_recorded or _materialized(settings, splits, model_input)
    if model_input.as_recorded or not pixels:
        shard_reader.check((Path(path), count) for path, count in shards)  # a damaged shard is ingest's, not ours
        for path, _ in shards:
            disk.link(Path(path), run.out / Path(path).name)
    else:
        _transform_changed(examples, shards, model_input, run)
    return Features(
        run.out,
        splits=splits,
        shape=model_input.shape,
        classes=contract.classes,
        one_hot=settings.label == "one_hot",
        model_input=model_input,
        pixels=pixels,
        graph=fingerprint.of(run.out / tft.TFTransformOutput.TRANSFORM_FN_DIR),
    )


def _transform_changed(
    examples: Examples, shards: list[tuple[str, int]], model_input: ModelInput, run: StageRun
) -> None:
    """Writes shards of pixels; those of records that an earlier run has transformed are linked."""
    reuse, digests = Reuse(run, "shards.json"), shard_digests(examples)
    changed = [(path, count) for path, count in shards if reuse.link(digests[Path(path).name]) is None]
    if changed:
        with run.beam() as pipeline:
            transformed = pipeline | beam.Create(changed) | beam.Reshuffle()
            transformed | "transform" >> beam.Map(transform_shard, str(run.out), model_input)
    for path, _ in changed:
        reuse.add(digests[Path(path).name], [Path(path).name])
    reuse.write()
    if reuse.linked:
        run.log(reuse.message("shards"))


def _materialized(settings: Transform, splits: Mapping[str, Split], model_input: ModelInput) -> bool:
    """Whether pixels at the model's size are written."""
    size = sum(split.count for split in splits.values()) * math.prod(model_input.shape)
    return settings.materialize == "pixels" or (settings.materialize == "auto" and size <= settings.disk_gb * 1e9)


def preprocessing_fn(
    inputs: dict[str, Any], *, shape: tuple[int, int, int], classes: int, settings: Transform
) -> dict[str, Any]:
    """The transform graph. Mean and variance, which need a pass over the data, are one tf.Transform analyzer."""
    pixels = decoding.pixels(inputs["image"], ModelInput(shape, shape))
    image = tf.cast(pixels, tf.float32)
    if settings.scale == "unit":
        image /= 255.0
    elif settings.scale == "imagenet":
        image = (image / 255.0 - IMAGENET_MEAN) / IMAGENET_DEVIATION
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
    count, (height, width, channels) = tf.shape(pixels)[0], pixels.shape[1:]
    narrow = tf.cast(pixels, tf.int32)  # holds the sum of a row; a whole image needs more
    sums = [tf.reduce_sum(tf.cast(tf.reduce_sum(x, 2), tf.int64), 1) for x in (narrow, narrow * narrow)]
    each = tf.concat([tf.fill([count, 1], np.int64(height * width)), *sums], 1)
    total, values, squares = tf.split(tft.sum(each, reduce_instance_dims=False), [1, channels, channels])
    mean = values / total
    return tf.cast(mean, tf.float32), tf.cast(squares / total - mean * mean, tf.float32)


def record_batches(shard: tuple[str, int], model_input: ModelInput) -> Iterator["pa.RecordBatch"]:
    """A shard as Arrow batches of image and label."""
    decoder = example_coder.ExamplesToRecordBatchDecoder(_raw().schema.SerializeToString())
    for records in _at_model_size(shard, model_input):
        yield decoder.DecodeBatch(records)


def transform_shard(shard: tuple[str, int], out: str, model_input: ModelInput) -> None:
    """Writes the images of a shard at the model's size."""
    with shard_files.writer(Path(out) / Path(shard[0]).name) as writer:
        for records in _at_model_size(shard, model_input):
            for record in records:
                writer.write(record)


def _at_model_size(shard: tuple[str, int], model_input: ModelInput) -> Iterator[list[bytes]]:
    """Batches of feature records: image and label."""
    path, count = Path(shard[0]), shard[1]
    batch = min(5000, max(1 if model_input.raw else MIN_IMAGES, BATCH_BYTES // math.prod(model_input.shape)))
    for records in shard_reader.read(path, count, batch):
        columns = shard_reader.parse(records, path)
        images = columns["image"] if model_input.as_recorded else _resized(model_input)(tf.constant(records)).numpy()
        yield list(example.encode({"image": images, "label": columns["label"]}))


@functools.lru_cache(1)
def _resized(model_input: ModelInput) -> Any:
    """A function (serialized records) -> uint8 pixels at the model's size, string [batch]."""
    spec = {"image": shard_reader.feature_spec()["image"]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def resized(records: Any) -> Any:
        return compat.to_bytes(decoding.pixels(tf.io.parse_example(records, spec)["image"], model_input))

    return resized


def _spec() -> dict[str, Any]:
    return {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}


def _raw() -> "dataset_metadata.DatasetMetadata":
    return dataset_metadata.DatasetMetadata.from_feature_spec(_spec())


def _tensors() -> Any:
    return tf_example_record.TFExampleBeamRecord(physical_format="tfrecord", schema=_raw().schema).TensorAdapterConfig()
