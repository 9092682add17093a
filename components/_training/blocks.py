"""Shards in blocks of consecutive records, read in random order (CorgiPile: Xu et al., SIGMOD 2022).

blocks = Blocks.of([(path, 1000), ...], most_records=78, most_bytes=2**20)
blocks.read(order)     # serialized records, block after block, as a tf.data.Dataset
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from etils import epy

from schemas import shard_reader
from schemas.errors import DataError

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf

HEADER, FOOTER = 12, 4  # bytes of a TFRecord before and after its content
AHEAD = 4  # blocks that are read at a time


@dataclass(frozen=True)
class Blocks:
    """Blocks of all shards, in the order of the shards; those of a shard that is listed twice are there twice."""

    paths: "np.ndarray"  # object [blocks]
    offsets: "np.ndarray"  # int64 [blocks], of the first record
    records: "np.ndarray"  # int64 [blocks]
    sizes: "np.ndarray"  # int64 [blocks], bytes

    @classmethod
    def of(cls, shards: Sequence[tuple[Path, int]], most_records: int, most_bytes: int) -> Self:
        """A block ends with the record that reaches `most_bytes`, or with its `most_records`-th.

        Raises:
            DataError: a shard is missing, cut short or altered; names the record.
        """
        cuts = {path: list(_cut(path, count, most_records, most_bytes)) for path, count in dict(shards).items()}
        rows = [(str(path), *cut) for path, _ in shards for cut in cuts[path]]
        paths, offsets, records, sizes = zip(*rows, strict=True)
        return cls(np.array(paths, object), *(np.array(column, np.int64) for column in (offsets, records, sizes)))

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, order: "np.ndarray") -> "tf.data.Dataset":
        """Records of the blocks in this order. Several blocks are read at a time, so their records alternate."""
        rows = tuple(column[order] for column in (self.paths.astype(str), self.offsets, self.records, self.sizes))

        # The raw operation: `TFRecordDataset` reads whole files only. It verifies checksums, too.
        def block(path: "tf.Tensor", offset: "tf.Tensor", records: "tf.Tensor", size: "tf.Tensor") -> "tf.data.Dataset":
            variant = tf.raw_ops.TFRecordDatasetV2(
                filenames=[path], compression_type="", buffer_size=size, byte_offsets=[offset]
            )
            return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(records)

        return tf.data.Dataset.from_tensor_slices(rows).interleave(
            block, cycle_length=AHEAD, block_length=16, num_parallel_calls=AHEAD, deterministic=True
        )


def _cut(path: Path, count: int, most_records: int, most_bytes: int) -> Iterator[tuple[int, int, int]]:
    """(offset, records, bytes) of each block of a shard."""
    start, records, total = 0, 0, 0
    for end in _ends(path, count):
        records, total = records + 1, total + 1
        if records == most_records or end - start >= most_bytes:
            yield start, records, end - start
            start, records = end, 0
    if records:
        yield start, records, end - start
    if total != count:
        raise _damaged(path, count)


def _ends(path: Path, count: int) -> Iterator[int]:
    """The position after each record, by the lengths in their headers: no content is read."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        raise _damaged(path, count) from None
    try:
        size, end = os.fstat(file).st_size, 0
        while end < size:
            header = os.pread(file, 8, end)
            end += HEADER + FOOTER + (struct.unpack("<Q", header)[0] if len(header) == 8 else size)
            if end > size:
                raise _damaged(path, count)
            yield end
    finally:
        os.close(file)


def _damaged(path: Path, count: int) -> DataError:
    try:
        shard_reader.check([(path, count)])
    except DataError as error:
        return error
    return DataError(f"shard {path} changed while it was read", "Run again.")
