"""Labelled images in a folder: folders of images named by label, pairs of IDX files, or TFRecords.

for piece in pieces(folder, labels=[], size=10_000):
    for image, label in read(piece): ...              # uint8 [height, width, channels], int
"""

import gzip
import math
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from etils import epy

from components._data.images import SUFFIXES, Examined, decoded, decoder, examine_one, lossless
from components.sources.reading import is_ignored
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.spans import LONGEST, READY, fit
from schemas.text import nfc

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf

PACKED = 1100  # above the maximal compression ratio of gzip, 1,032
FIX = "Fix the span and deliver it again under a new name."


@dataclass(frozen=True)
class Piece:
    """What one worker reads."""

    kind: Literal["images", "idx", "records"]
    files: tuple[str, ...]  # images, each with its label; an IDX pair; a TFRecord
    labels: tuple[int, ...] = ()


@contextmanager
def _explained(where: Path | str) -> Iterator[None]:
    """Turns any error of reading a span into a DataError with the reason: one bad span must not end the run."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{error.filename or where} cannot be read: {error.strerror or error}", FIX) from error
    except Exception as error:
        words = str(error).partition("\n")[0]
        raise DataError(f"{where} cannot be read: {type(error).__name__}: {words}", FIX) from error


def pieces(folder: Path, labels: list[str], size: int) -> list[Piece]:
    """The files of a folder in the order of their names, images in pieces of `size`. `labels`: folder names by label.

    Raises:
        DataError: the folder is empty, holds something else, or cannot be read.
    """
    with _explained(folder):
        _check_plain(folder)
        entries = sorted(p for p in folder.iterdir() if p.name != READY and not is_ignored(p))
        folders = [p for p in entries if p.is_dir()]
        records = [
            p
            for p in entries
            if (p.suffix in (".tfrecord", ".tfrecords") or ".tfrecord-" in p.name) and p not in folders
        ]
        idx = [p for p in entries if "-idx" in p.name and p not in (*folders, *records)]
        if other := next((p for p in entries if p not in (*folders, *records, *idx)), None):
            raise DataError(f"{other} is neither a folder of images, an IDX file nor a TFRecord", FIX)
        if (kinds := [kind for kind in (folders, records, idx) if kind]) and len(kinds) > 1:
            raise DataError(
                f"{folder} holds {kinds[0][0].name} and {kinds[1][0].name}: images in more than one form", FIX
            )
        parts = [*_images(folders, labels, size), *_pairs(idx), *(Piece("records", (str(p),)) for p in records)]
        if not parts:
            raise DataError(f"{folder} holds no images", FIX)
        return parts


def _check_plain(folder: Path) -> None:
    """Checks names and types of files: a link leads out of the span, and reading a pipe would block forever."""
    if not fit(folder.name):
        raise DataError(
            f"{folder}: a span's name may have at most {LONGEST} bytes, no backslash and only printable characters",
            FIX,
        )
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise DataError(f"{path} is a symbolic link; a span holds plain files only", FIX)
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise DataError(f"{path} is a pipe, a socket or a device; a span holds plain files only", FIX)


def _images(folders: list[Path], labels: list[str], size: int) -> Iterator[Piece]:
    known = [(folder, _label(folder, labels)) for folder in folders]
    forms: dict[str, Path] = {}
    for folder in folders:
        if (other := forms.setdefault(nfc(folder.name), folder)) != folder:
            raise DataError(f"{other} and {folder} have the same name in two Unicode forms", FIX)
    images = [(path, label) for folder, label in known for path in sorted(folder.iterdir()) if not is_ignored(path)]
    if wrong := next((path for path, _ in images if not path.name.lower().endswith(SUFFIXES)), None):
        raise DataError(f"{wrong} is not an image; {', '.join(SUFFIXES)} are supported", FIX)
    if wrong := next((path for path, _ in images if path.is_dir()), None):
        raise DataError(f"{wrong} is a folder with the name of an image", FIX)
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        yield Piece("images", tuple(str(path) for path, _ in batch), tuple(label for _, label in batch))


def _label(folder: Path, labels: list[str]) -> int:
    if (name := nfc(folder.name)) in (known := [nfc(label) for label in labels]):
        return known.index(name)
    if not labels and folder.name.isdecimal() and len(folder.name) <= 18:  # int64 holds them
        return int(folder.name)
    allowed = (
        f"spans.labels has {', '.join(labels)}"
        if labels
        else "without spans.labels, folders are named by the label's number"
    )
    raise DataError(f"{folder} is not a label: {allowed}", "Name the label in spans.labels, or fix the span.")


def _pairs(files: list[Path]) -> Iterator[Piece]:
    images, labels = ([p for p in files if f"-idx{rank}" in p.name] for rank in (3, 1))
    images += [p for p in files if "-idx4" in p.name]
    if len(images) != len(labels) or len(images) + len(labels) != len(files):
        raise DataError(f"{files[0].parent} holds {len(images)} IDX files of images and {len(labels)} of labels", FIX)
    for pair in zip(map(str, sorted(images)), map(str, labels), strict=True):
        yield Piece("idx", pair)


def read(piece: Piece, encoding: Encoding) -> Iterator[tuple["np.ndarray | Examined", int, bytes]]:
    """(uint8 [height, width, channels], label, b"") of each image; or (`Examined`, label, encoded image).

    No image is empty. Delivered pixels are encoded without loss.

    Raises:
        DataError: a file is damaged, or cannot be read; names it.
    """
    with _explained(piece.files[0]):
        if piece.kind == "images":
            contents = ((path, Path(path).read_bytes()) for path in piece.files)
            decode = decoder(0)
            for (path, content), label in zip(contents, piece.labels, strict=True):
                if encoding == "encoded":
                    yield examine_one(content, path, FIX), label, content
                else:
                    yield decoded(decode, content, path, FIX), label, b""
            return
        unpacked = _idx_images(piece) if piece.kind == "idx" else _records(piece.files[0])
        for pixels, label, delivered in unpacked:
            if encoding == "encoded":
                content = delivered or lossless(pixels)
                yield examine_one(content, piece.files[0], FIX), label, content
            else:
                yield pixels, label, b""


def _idx_images(piece: Piece) -> Iterator[tuple["np.ndarray", int, bytes]]:
    images, labels = _pair(*piece.files)
    for image, label in zip(images, labels.tolist(), strict=True):
        yield image if image.ndim == 3 else image[:, :, np.newaxis], label, b""


def _pair(*files: str) -> tuple["np.ndarray", "np.ndarray"]:
    images, labels = map(idx, map(Path, files))
    for path, found, allowed in zip(files, (images, labels), ((3, 4), (1,)), strict=True):
        if found.ndim not in allowed:
            what = "labels have 1" if allowed == (1,) else "images have 3, or 4 with channels"
            raise DataError(f"{path} holds an array of {found.ndim} dimensions; {what}", FIX)
    if len(images) != len(labels):
        raise DataError(f"{files[0]} holds {len(images):,} images, {files[1]} {len(labels):,} labels", FIX)
    if len(images) and not images.size:
        raise DataError(f"{files[0]} holds images without pixels", FIX)
    return images, labels


def _records(path: str) -> Iterator[tuple["np.ndarray", int, bytes]]:
    """Records with `label` and `image`: encoded, or raw with `image/height`, `image/width` and `image/channels`."""
    _check_lengths(path)
    decode = decoder(0)
    spec = {
        name: tf.io.FixedLenFeature([], tf.int64, -1)
        for name in ("label", "image/height", "image/width", "image/channels")
    }
    spec["image"] = tf.io.FixedLenFeature([], tf.string, b"")
    try:
        for record in tf.compat.v1.io.tf_record_iterator(os.fsencode(path)):
            features = {name: value.numpy() for name, value in tf.io.parse_single_example(record, spec).items()}
            shape = [int(features[f"image/{side}"]) for side in ("height", "width", "channels")]
            content = features["image"]
            raw = min(shape) > 0 and len(content) == math.prod(shape)  # numpy's product wraps around
            image = np.frombuffer(content, np.uint8).reshape(shape) if raw else decoded(decode, content, path, FIX)
            yield image, int(features["label"]), b"" if raw else content
    except tf.errors.OpError as error:
        raise DataError(
            f"{path} is cut short or altered, or holds a record without image and label: {error.message}", FIX
        ) from error


def _check_lengths(path: str) -> None:
    """Checks that no record claims to be longer than the file: TensorFlow would allocate that much, and crash."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        while head := file.read(12):  # the length and its checksum; behind the record, another checksum
            if (length := int.from_bytes(head[:8], "little")) > size - file.tell() - 4:
                raise DataError(
                    f"{path} is cut short or altered: a record of {length:,} bytes does not fit into it", FIX
                )
            file.seek(length + 4, 1)


def idx(path: Path) -> "np.ndarray":
    """An IDX file of uint8, gzipped or not, as an array of its own shape (format: MNIST page of LeCun, Cortes, Burges).

    Raises:
        DataError: it is not an IDX file, or cut short.
    """
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            content = gzip.GzipFile(fileobj=file) if packed else file
            head = content.read(4)
            if len(head) < 4 or head[:3] != b"\0\0\x08":
                raise ValueError("it does not begin like an IDX file of bytes")
            sides = np.frombuffer(content.read(4 * head[3]), ">u4", head[3]).tolist()
            size = math.prod(sides)
            if size > path.stat().st_size * (PACKED if packed else 1):
                raise ValueError(f"its header states {size:,} bytes")
            # Reads one byte more to detect a file that unpacks to more than its header states.
            return np.frombuffer(content.read(size + 1), np.uint8).reshape(sides)
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is not a complete IDX file: {error}", FIX) from error
