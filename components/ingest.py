"""ingest: writes a TFDS dataset as sharded TFRecords of raw images."""

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from etils import epy

from components._data import shard_files
from components._data.images import decoder, image_hash
from components.sources import tfds_builder
from pipeline.engine.component import StageRun, Unkeyed, component
from schemas import example, files
from schemas.artifacts import Examples, SourceData, Split
from schemas.errors import DataError
from schemas.settings.source import Source

with epy.lazy_imports():
    import apache_beam as beam
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds

BATCH = 1000
Reading = dict[str, tuple[int, Iterator[bytes]]]  # by file: the number of records read, and an iterator of the rest


@component(completes="data")
def ingest(
    data: SourceData, *, source: Source, data_dir: Unkeyed[str | None], manual_dir: Unkeyed[str | None], run: StageRun
) -> Examples:
    """Raw labelled images in three splits: train, validation (split from train by a hash of the image) and test.

    A Beam pipeline over slices of the source. Each slice becomes one shard of each split. The order of records is
    TFDS's, so the same dataset gives the same bytes. `data` is the state of the dataset while planning; TFDS prepares
    it here if it is not prepared yet.

    Raises:
        DataError: there is no such dataset or split, its builder fails, or a split would be empty.
        EnvironmentFailure: the network or the disk failed.
    """
    del data  # part of the cache key: the files that TFDS reads
    builder = tfds_builder.prepared(source, data_dir, manual_dir, run.say)
    slices = [
        {"split": split, "of": of, "shard": shard, "shards": shards}
        for split, of in (("train", source.train), ("test", source.test))
        for shards in [math.ceil(_count(builder, of) / source.shard_size)]
        for shard in range(shards)
    ]
    if _overlap(builder, source.train, source.test):
        raise DataError(
            f"source.train {source.train} and source.test {source.test} share images of {source.tfds}",
            "A model must be tested on images that it was not trained on: name splits that do not overlap.",
        )
    write = functools.partial(write_slice, out=str(run.out), source=source, data_dir=data_dir, reading={})
    with run.beam() as pipeline:
        pipeline | beam.Create(slices) | beam.Reshuffle() | "write" >> beam.Map(write)
    splits = _splits(shard_files.take_counts(run.out))
    for split in ("train", "validation", "test"):
        if split not in splits or not splits[split].count:
            raise DataError(
                f"split {split} of {source.tfds} is empty", "Check source.train, source.test and source.validation."
            )
    run.say(", ".join(f"{split.count:,} {name}" for name, split in splits.items()))
    test = files.digest(files.listing(run.out, "test-*"))
    return Examples(run.out, splits=splits, source=builder.info.full_name.replace("/", ":"), test=test)


def _splits(counts: dict[str, int]) -> dict[str, Split]:
    shards: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for shard, count in counts.items():
        shards[shard.split("-")[0]].append((shard, count))
    order = [name for name in ("train", "validation", "test") if name in shards]
    return {name: Split(*map(tuple, zip(*shards[name], strict=True))) for name in order}


def _count(builder: Any, split: Any) -> int:
    try:
        return int(builder.info.splits[split].num_examples)
    except (KeyError, ValueError):
        known = ", ".join(builder.info.splits)
        raise DataError(
            f"{builder.info.full_name} has no split {split}", f"It has {known}; see source.train and source.test."
        ) from None


def _overlap(builder: Any, one: str, other: str) -> bool:
    """True if two splits read a record of the same file."""
    spans = [
        [(f.filename, f.skip, f.skip + f.take) for f in builder.info.splits[split].file_instructions]
        for split in (one, other)
    ]
    return any(a[0] == b[0] and a[1] < b[2] and b[1] < a[2] for a in spans[0] for b in spans[1])


def write_slice(slice_: dict[str, Any], *, out: str, source: Source, data_dir: str | None, reading: Reading) -> None:
    """Writes a shard of each split that one slice of the source feeds, of at most `shard_size` images together.

    `reading`: where this worker's last slices stopped. A file can be read only from its start, so this reads each
    record once instead of once for every later slice.
    """
    builder = tfds_builder.load(source, data_dir)
    parts = tfds.even_splits(slice_["of"], slice_["shards"])
    start = sum(_count(builder, part) for part in parts[: slice_["shard"]])
    targets = ("train", "validation") if slice_["split"] == "train" else ("test",)
    shards = [shard_files.name(target, slice_["shard"], slice_["shards"]) for target in targets]
    counts = [0] * len(targets)
    bound = source.validation * 2**64 if len(targets) > 1 else 0
    encode = example.encoder(builder.info.name, str(builder.info.version), slice_["of"])
    with ExitStack() as stack:
        write = [stack.enter_context(shard_files.writer(Path(out) / shard)).write for shard in shards]
        for images, labels in _images(builder, parts[slice_["shard"]], reading):
            hashes = map(image_hash, images) if len(shards) > 1 else itertools.repeat(bound)
            records = map(encode, images, labels, itertools.count(start + sum(counts)))
            for record, drawn in zip(records, hashes, strict=False):
                target = drawn < bound
                write[target](record)
                counts[target] += 1
    for shard, count in zip(shards, counts, strict=True):
        shard_files.write_count(Path(out) / shard, count)


def _images(builder: Any, part: Any, reading: Reading) -> Iterator[tuple[list["np.ndarray"], list[int]]]:
    """Batches of (uint8 [height, width, channels], label) in TFDS's order."""
    keys = tfds_builder.keys(builder)
    decode = decoder(builder.info.features[keys[0]].shape[2] or 0)
    by_file = builder.info.file_format is tfds.core.FileFormat.TFRECORD
    for contents, labels in _by_file(builder, part, *keys, reading) if by_file else _by_tfds(builder, part, *keys):
        yield list(map(decode, contents)), labels.tolist()


def _by_file(
    builder: Any, part: Any, image_key: str, label_key: str, reading: Reading
) -> Iterator[tuple["np.ndarray", "np.ndarray"]]:
    """Reads TFDS's own files a batch at a time. TFDS's reader parses one record at a time, ten times slower."""
    spec = {image_key: tf.io.FixedLenFeature([], tf.string), label_key: tf.io.FixedLenFeature([], tf.int64)}
    for file in builder.info.splits[part].file_instructions:
        name, end = str(file.filename), file.skip + file.take if file.take >= 0 else None
        at, records = reading.pop(name, (math.inf, iter(())))
        if at > file.skip:
            at, records = 0, tf.compat.v1.io.tf_record_iterator(name)
        wanted = itertools.islice(records, file.skip - at, None if end is None else end - at)
        while batch := list(itertools.islice(wanted, BATCH)):
            parsed = tf.io.parse_example(tf.constant(batch), spec)
            yield parsed[image_key].numpy(), parsed[label_key].numpy()
        if end is not None:
            reading[name] = (end, records)


def _by_tfds(builder: Any, part: Any, image_key: str, label_key: str) -> Iterator[tuple["np.ndarray", "np.ndarray"]]:
    """Reads files of any format with TFDS's reader."""
    dataset = builder.as_dataset(split=part, shuffle_files=False, decoders={image_key: tfds.decode.SkipDecoding()})
    yield from dataset.map(lambda e: (e[image_key], e[label_key])).batch(BATCH).prefetch(2).as_numpy_iterator()
