"""Labelled images in a folder: folders of images named by label, pairs of IDX files, or TFRecords.

for piece in pieces(folder, labels=[], size=10_000):
    for image, label in read(piece): ...              # uint8 [height, width, channels], int
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from etils import epy

from components._images import decoder
from schemas.errors import DataError
from schemas.spans import READY

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
MEND = "Mend the span and deliver it again under a new name."


@dataclass(frozen=True)
class Piece:
    """What one worker reads."""

    kind: Literal["images", "idx", "records"]
    files: tuple[str, ...]  # images, each with its label; an IDX pair; a TFRecord
    labels: tuple[int, ...] = ()


def pieces(folder: Path, labels: list[str], size: int) -> list[Piece]:
    """What lies in a folder, in order of name, images in pieces of `size`. `labels`: names of the folders, in the order of labels.

    Raises:
        DataError: there is nothing, or something else.
    """
    entries = sorted(p for p in folder.iterdir() if p.name != READY and not p.name.startswith("."))
    if linked := next((p for p in folder.rglob("*") if p.is_symlink()), None):
        raise DataError(f"{linked} is a symbolic link; a span holds plain files only", MEND)
    folders = [p for p in entries if p.is_dir()]
    records = [p for p in entries if p.suffix in (".tfrecord", ".tfrecords") or ".tfrecord-" in p.name]
    idx = [p for p in entries if "-idx" in p.name and p not in records]
    if other := next((p for p in entries if p not in (*folders, *records, *idx)), None):
        raise DataError(f"{other} is neither a folder of images, an IDX file nor a TFRecord", MEND)
    if (kinds := [kind for kind in (folders, records, idx) if kind]) and len(kinds) > 1:
        raise DataError(f"{folder} holds {kinds[0][0].name} and {kinds[1][0].name}: images in more than one form", MEND)
    found = [*_images(folders, labels, size), *_pairs(idx), *(Piece("records", (str(p),)) for p in records)]
    if not found:
        raise DataError(f"{folder} holds no images", MEND)
    return found


def _images(folders: list[Path], labels: list[str], size: int) -> Iterator[Piece]:
    known = [(folder, _label(folder, labels)) for folder in folders]
    found = [(str(path), label) for folder, label in known for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    if wrong := next((path for path, _ in found if not path.lower().endswith(SUFFIXES)), None):
        raise DataError(f"{wrong} is no image; {', '.join(SUFFIXES)} are read", MEND)
    for start in range(0, len(found), size):
        batch = found[start : start + size]
        yield Piece("images", tuple(path for path, _ in batch), tuple(label for _, label in batch))


def _label(folder: Path, labels: list[str]) -> int:
    if folder.name in labels:
        return labels.index(folder.name)
    if not labels and folder.name.isdecimal():
        return int(folder.name)
    allowed = f"spans.labels knows {', '.join(labels)}" if labels else "without spans.labels, folders are named by the label's number"
    raise DataError(f"{folder} is no label: {allowed}", "Name the label in spans.labels, or mend the span.")


def _pairs(files: list[Path]) -> Iterator[Piece]:
    images, labels = ([p for p in files if f"-idx{rank}" in p.name] for rank in (3, 1))
    images += [p for p in files if "-idx4" in p.name]
    if len(images) != len(labels) or len(images) + len(labels) != len(files):
        raise DataError(f"{files[0].parent} holds {len(images)} IDX files of images and {len(labels)} of labels", MEND)
    for pair in zip(map(str, sorted(images)), map(str, labels), strict=True):
        yield Piece("idx", pair)


def read(piece: Piece) -> Iterator[tuple["np.ndarray", int]]:
    """(uint8 [height, width, channels], label) of each image.

    Raises:
        DataError: a file is damaged; names it.
    """
    if piece.kind == "images":
        decode = decoder(0)
        for path, label in zip(piece.files, piece.labels, strict=True):
            yield _decoded(decode, Path(path).read_bytes(), path), label
    elif piece.kind == "idx":
        images, labels = map(idx, map(Path, piece.files))
        if len(images) != len(labels):
            raise DataError(f"{piece.files[0]} holds {len(images):,} images, {piece.files[1]} {len(labels):,} labels", MEND)
        for image, label in zip(images, labels.tolist(), strict=True):
            yield image if image.ndim == 3 else image[:, :, np.newaxis], label
    else:
        yield from _records(piece.files[0])


def _records(path: str) -> Iterator[tuple["np.ndarray", int]]:
    """Records with `label` and `image`: encoded, or raw with `image/height`, `image/width` and `image/channels`."""
    decode = decoder(0)
    spec = {name: tf.io.FixedLenFeature([], tf.int64, -1) for name in ("label", "image/height", "image/width", "image/channels")}
    spec["image"] = tf.io.FixedLenFeature([], tf.string, b"")
    try:
        for record in tf.compat.v1.io.tf_record_iterator(path):
            found = {name: value.numpy() for name, value in tf.io.parse_single_example(record, spec).items()}
            shape = [int(found[f"image/{side}"]) for side in ("height", "width", "channels")]
            content = found["image"]
            raw = min(shape) > 0 and len(content) == np.prod(shape)
            yield np.frombuffer(content, np.uint8).reshape(shape) if raw else _decoded(decode, content, path), int(found["label"])
    except tf.errors.OpError as error:
        raise DataError(f"{path} is cut short or altered, or holds a record without image and label: {error.message}", MEND) from error


def _decoded(decode: Callable[[bytes], "np.ndarray"], content: bytes, path: str) -> "np.ndarray":
    try:
        return decode(content)
    except Exception as error:  # TensorFlow and libpng raise what they like
        raise DataError(f"{path} holds no image that can be decoded", MEND) from error


def idx(path: Path) -> "np.ndarray":
    """An IDX file of uint8, gzipped or not, as an array of its own shape (format: the MNIST page of LeCun, Cortes and Burges).

    Raises:
        DataError: it is no such file, or cut short.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        if content[:3] != b"\0\0\x08":
            raise ValueError("its first bytes are not those of an IDX file of bytes")
        rank = content[3]
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(np.frombuffer(content, ">u4", rank, 4))
    except (ValueError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path} is no whole IDX file: {error}", MEND) from error
