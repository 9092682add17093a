"""Shards: written under a temporary name, renamed when whole; results that workers leave for the driver as JSON."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from etils import epy

with epy.lazy_imports():
    import apache_beam as beam
    import tensorflow as tf


def name(split: str, index: int, count: int) -> str:
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


@contextmanager
def writer(path: Path) -> Iterator["tf.io.TFRecordWriter"]:
    """A TFRecord that appears under its name only when it is whole: a worker that dies, or runs twice, leaves no half."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with tf.io.TFRecordWriter(str(temporary)) as records:
            yield records
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def leave(results: "beam.PCollection", path: Path) -> None:
    """Small results, as a JSON list in a file: all that a data-parallel stage brings back to the driver."""
    results | "gather" >> beam.combiners.ToList() | "leave" >> beam.Map(_write_json, str(path))


def _write_json(results: list[Any], path: str) -> None:
    Path(path).write_text(json.dumps(results))


def take(path: Path) -> list[Any]:
    """What `leave` left; the file is removed."""
    found: list[Any] = json.loads(path.read_text())
    path.unlink()
    return found
