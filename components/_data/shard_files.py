"""Shard files, and the record counts that workers write beside them for the driver."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etils import epy

from schemas import disk

with epy.lazy_imports():
    import tensorflow as tf


def name(split: str, index: int, count: int) -> str:
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


@contextmanager
def writer(path: Path) -> Iterator["tf.io.TFRecordWriter"]:
    """A TFRecord writer whose file appears at `path` once complete. A worker that dies leaves no partial shard."""
    with disk.atomic_write(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as records:
        yield records


def write_count(shard: Path, count: int) -> None:
    """Writes the number of records of a shard to a file beside it, for `take_counts`.

    Returning such small results through Beam costs more time than writing a shard.
    """
    disk.atomic_write_text(shard.with_name(f"{shard.name}.json"), json.dumps(count))


def take_counts(folder: Path) -> dict[str, int]:
    """The number of records of each shard in `folder`, by file name. Removes the files that `write_count` wrote."""
    counts = {}
    for path in sorted(folder.glob("*.tfrecord.json")):
        counts[path.name.removesuffix(".json")] = int(json.loads(path.read_text(encoding="utf-8")))
        path.unlink()
    return counts
