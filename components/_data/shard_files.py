"""Shards: written under a temporary name, renamed when whole; their counts, which workers leave for the driver."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etils import epy

with epy.lazy_imports():
    import tensorflow as tf


def name(split: str, index: int, count: int) -> str:
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


@contextmanager
def writer(path: Path) -> Iterator["tf.io.TFRecordWriter"]:
    """A TFRecord that appears under its name only when complete: a worker that dies leaves no part of one."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with tf.io.TFRecordWriter(str(temporary)) as records:
            yield records
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def leave(shard: Path, count: int) -> None:
    """Writes a worker's result for the driver, beside the shard.

    Collecting such small results through Beam costs more than writing a shard.
    """
    beside = shard.with_name(f"{shard.name}.json")
    temporary = beside.with_name(f".{beside.name}.{uuid.uuid4().hex}")
    temporary.write_text(json.dumps(count), encoding="utf-8")
    temporary.replace(beside)


def take(folder: Path) -> dict[str, int]:
    """How many records each shard in `folder` has, by name; what `leave` left is removed."""
    found = {}
    for beside in sorted(folder.glob("*.tfrecord.json")):
        found[beside.name.removesuffix(".json")] = int(json.loads(beside.read_text(encoding="utf-8")))
        beside.unlink()
    return found
