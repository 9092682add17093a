"""Spans of real digits: images of the sample that the base dataset does not use, in any supported layout."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from components.collect import collect
from components.resolvers.arrived import arrived
from components.sources.span import SpanReader
from schemas.artifacts import Admission, Arrivals, Collected
from schemas.contract import Encoding
from schemas.settings.source import Unreadable
from schemas.settings.spans import READY, Spans
from tests.conftest import FolderRun

READING = {"labels": [], "validation": 0.1, "fresh": 0.2, "shard_size": 10_000, "unreadable": Unreadable()}
REST = "train[60%:]"  # the images of spans; the base dataset is the sample's train[:60%]


def digits(data_dir: str, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [count, 28, 28], int64 [count]) of REST; `data_dir` must hold the sample, prepared."""
    import tensorflow_datasets as tfds

    import components.mnist_sample  # noqa: F401  (registers the sample)

    dataset = tfds.builder("mnist_sample", data_dir=data_dir).as_dataset(split=REST, shuffle_files=False)
    records = list(tfds.as_numpy(dataset))[first : first + count]
    return np.stack([record["image"][:, :, 0] for record in records]), np.array([record["label"] for record in records])


def deliver(
    directory: Path, name: str, images: np.ndarray, labels: np.ndarray, layout: str = "images", ready: bool = True
) -> Path:
    """Writes a span in one of the supported layouts and marks it as complete."""
    span = directory / name
    span.mkdir(parents=True)
    if layout == "images":
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = span / str(label) / f"{i:04d}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(imagecodecs.png_encode(image))
    elif layout == "idx":
        for what, values in (("images-idx3-ubyte.gz", images), ("labels-idx1-ubyte.gz", labels.astype(np.uint8))):
            head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
            (span / f"new-{what}").write_bytes(gzip.compress(head + values.tobytes(), mtime=0))
    else:
        records(span / "new.tfrecord", images, labels)
    if ready:
        (span / READY).touch()
    return span


def bright(images: np.ndarray) -> np.ndarray:
    """The same images, much brighter: they drift from any training data."""
    return np.minimum(images.astype(int) * 3 + 60, 255).astype(np.uint8)


def records(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    import tensorflow as tf

    from schemas import example

    encode = example.encoder("own", "1.0.0", "new")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            writer.write(encode(image[:, :, None], label, i))


def read(
    span: Path, size: int, encoding: Encoding = "raw", labels: Sequence[str] = ()
) -> Iterator[tuple[Any, int, bytes]]:
    """(image, label, content) of each image, in pieces of `size`."""
    reader = SpanReader(span, tuple(labels), size)
    for piece in reader.pieces():
        for batch in reader.read(piece, encoding):
            yield from zip(batch.images, batch.labels, batch.contents, strict=True)


def arrivals_of(directory: Path, **settings: str) -> Arrivals:
    return arrived.function(spans=Spans(directory=str(directory), **settings))


def collected(directory: Path, run: FolderRun, **settings: object) -> Collected:
    return collect.function(arrivals_of(directory), **(READING | settings), run=run)


def admission_of(run: FolderRun, *names: str) -> Admission:
    """An admission that admits each of these spans."""
    return Admission(run.out, passed=True, admitted=names, quarantined={}, drifted={})
