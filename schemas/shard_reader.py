"""Reads records from shards, checks shards, and parses records."""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from etils import epy

from schemas import files
from schemas.errors import DataError
from schemas.example import BATCH_BYTES, METADATA

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf


def read(path: Path, count: int, batch: int = 1000, most: int = BATCH_BYTES) -> Iterator[list[bytes]]:
    """Serialized records of one shard that holds `count` of them, in batches of at most `batch` records.

    A batch ends with the record that reaches `most` bytes, so large images make small batches.

    Raises:
        DataError: the shard is missing, cut short or altered; names the record.
    """
    done, size = 0, 0
    records: list[bytes] = []
    try:
        # Five times as fast as a Dataset, which passes single records.
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            records.append(record)
            size += len(record)
            if len(records) == batch or size >= most:
                yield records
                done += len(records)
                records, size = [], 0
    except (tf.errors.DataLossError, tf.errors.NotFoundError) as error:
        raise _damaged(path, count) from error
    if done + len(records) != count:
        raise _damaged(path, count)
    if records:
        yield records


def check(shards: Iterable[tuple[Path, int]]) -> None:
    """Reads whole shards with their counts of records. Fast: one graph for all, and no record leaves TensorFlow.

    Raises:
        DataError: a shard is missing, cut short or altered; names the record.
    """
    expected = dict(shards)
    if not expected:
        return

    def counted(path: Any) -> Any:
        batches = tf.data.TFRecordDataset(path).batch(32)
        return batches.reduce(np.int64(0), lambda total, batch: total + tf.shape(batch, tf.int64)[0])

    paths = list(expected)
    counts = tf.data.Dataset.from_tensor_slices(list(map(str, paths))).map(counted, 2).as_numpy_iterator()
    for path in paths:
        try:
            intact = next(counts) == expected[path]
        except (tf.errors.DataLossError, tf.errors.NotFoundError):
            intact = False
        if not intact:
            raise _damaged(path, expected[path])


def _damaged(path: Path, count: int) -> DataError:
    """The error of a damaged shard, with the first record that cannot be read."""
    remedy = files.rerun(path)
    if not path.exists():
        return DataError(f"shard {path} is missing", remedy)
    intact, fault = 0, "ends after"
    try:
        for _ in tf.data.TFRecordDataset(str(path)):
            intact += 1
    except tf.errors.DataLossError as error:
        fault = "ends in the middle of" if "truncated" in error.message else "is damaged (a checksum does not match) at"
        intact += 1
    if intact > count:
        return DataError(f"shard {path} holds {intact:,} records instead of {count:,}", remedy)
    return DataError(f"shard {path} {fault} record {intact:,} of {count:,}", remedy)


def parse(records: list[bytes], path: Path, metadata: Iterable[str] = ()) -> dict[str, "np.ndarray"]:
    """Columns of a batch of records: `image` object [batch] of bytes; the other features int64 or bytes [batch].

    A feature that a record lacks is -1, or empty bytes. `metadata`: names of metadata columns to read, too.

    Raises:
        DataError: a record is not a tf.Example, or a feature has another type.
    """
    spec = feature_spec() | {METADATA + name: tf.io.FixedLenFeature([], tf.string, b"") for name in metadata}
    try:
        columns = tf.io.parse_example(tf.constant(records, tf.string), spec)
    except (
        tf.errors.InvalidArgumentError,
        UnicodeDecodeError,
    ) as error:  # TensorFlow sometimes fails to format its own error
        cause = str(getattr(error, "message", "it is not a tf.Example")).split("\n")[0]
        raise DataError(f"shard {path} holds a record that does not parse: {cause}", files.rerun(path)) from error
    return {name: column.numpy() for name, column in columns.items()}


@functools.cache
def feature_spec() -> dict[str, "tf.io.FixedLenFeature"]:
    """How TensorFlow parses a record."""
    integers = ("image/height", "image/width", "image/channels", "label", "source/index")
    texts = ("image", "image/format", "source/dataset", "source/file", "source/version", "source/split")
    spec = {name: tf.io.FixedLenFeature([], tf.int64, -1) for name in integers}
    return spec | {name: tf.io.FixedLenFeature([], tf.string, b"") for name in texts}
