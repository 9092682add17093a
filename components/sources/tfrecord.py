"""Source `tfrecord`: TFRecord files of `tf.Example`s with an encoded image and a label each."""

import functools
import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etils import epy

from components._data.images import lossless
from components.sources.files import File, FilesReader, batches_of, path_of
from components.sources.fingerprint import Digests, Fingerprint
from components.sources.reading import SPLITS, Batch, Log, Piece, Place, Split
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.source import Tfrecord
from schemas.text import nfc

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf
    from google.protobuf import message

RECORDS = 2**32  # more than a file has: positions of records do not overlap


@dataclass
class TfrecordReader(FilesReader):
    """Reads each file as one piece. A file whose name begins with train, validation, val or test is of that split."""

    settings: Tfrecord

    def prepare(self, log: Log) -> None:
        if isinstance(self._first_label, str) and not self.contract_labels:
            self.contract_labels = self.labels()  # once, before the reader goes to the workers

    def labels(self) -> tuple[str, ...]:
        return self._labels

    @functools.cached_property
    def _labels(self) -> tuple[str, ...]:
        """Reads all files: labels are not listed anywhere."""
        labels = {self._label(example, path, row) for path in self._files() for row, example in examples(path)}
        if any(isinstance(label, int) for label in labels):
            return tuple(str(label) for label in range(1 + max(map(int, labels))))
        return tuple(sorted(map(str, labels)))

    def pieces(self) -> list[Piece]:
        by_split: dict[Split | None, list[Path]] = {}
        for path in self._files():
            split = next((split for name, split in SPLITS.items() if path.name.lower().startswith(name)), None)
            by_split.setdefault(split, []).append(path)
        if len(by_split) > 1 and None in by_split:
            cause = f"{by_split[None][0]} is of no split, and other files of {self.settings.tfrecord} are"
            raise DataError(cause, "Begin its name with train, validation or test.")
        if None not in by_split and (missing := [split for split in ("train", "test") if split not in by_split]):
            cause = f"{self.settings.tfrecord} matches no file whose name begins with {missing[0]}"
            raise DataError(cause, "Add it, or rename the files to draw the splits.")
        pieces: list[Piece] = []
        for split, paths in by_split.items():
            feeds: tuple[Split, ...] = (split,) if split else ("train", "validation", "test")
            if split == "train" and "validation" not in by_split:
                feeds = ("train", "validation")
            pieces += [
                Piece(feeds, split or "all", i, len(paths), i * RECORDS, (str(path),)) for i, path in enumerate(paths)
            ]
        return pieces

    def sample(self) -> Iterator[Batch]:
        """The first images of each file."""
        for piece in self.pieces():
            yield from itertools.islice(self.read(piece, "encoded"), 1)

    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        return batches_of(self._images(Path(piece.files[0])), encoding)

    def _images(self, path: Path) -> Iterator[File]:
        names = {} if isinstance(self._first_label, int) else self.numbers(self.contract_labels)
        for row, example in examples(path):
            label = self._label(example, path, row)
            number = label if isinstance(label, int) else names.get(label)
            if number is None:
                cause = f"{label} in {path} is not a label: the contract has {', '.join(self.contract_labels)}"
                raise DataError(cause, "Add the label to the contract, or remove its records.")
            title = f"record {row:,} of {path.name}"
            image = image_of(example, self.settings.image)
            yield File(title, image or DataError(f"{title} holds no image"), number, title)

    @functools.cached_property
    def _first_label(self) -> str | int:
        """The label of the first record, after a check of its features. Read once: it goes to the workers."""
        path = self._files()[0]
        row, example = next(examples(path), (0, None))
        if example is None:
            raise DataError(f"{path} holds no records", "Remove it.")
        if not example.features.feature[self.settings.image].bytes_list.value:
            has = ", ".join(sorted(name for name in example.features.feature if name != self.settings.image))
            cause = f"records of {path} have no feature {self.settings.image} of bytes"
            raise DataError(cause, f"They have {has}; name it in source.image.")
        return self._label(example, path, row)

    def _label(self, example: Any, path: Path, row: int) -> str | int:
        label = label_of(example, self.settings.label, f"record {row:,} of {path}")
        if label is not None:
            return label
        has = ", ".join(sorted(name for name in example.features.feature if name != self.settings.label))
        cause = f"record {row:,} of {path} has no feature {self.settings.label}"
        raise DataError(cause, f"It has {has}; name it in source.label.")

    def _files(self) -> list[Path]:
        if not (paths := matching(self.path)):
            raise DataError(f"source.tfrecord {self.path} matches no file", "Name files, for example data/*.tfrecord.")
        return paths


def fingerprint(settings: Tfrecord, place: Place, digests: Digests) -> Fingerprint:
    """The files that match."""
    if not (paths := matching(path_of(settings, place))):
        return Fingerprint(Path(), {})
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return Fingerprint(folder, digests.of_files(folder, (str(path.relative_to(folder)) for path in paths)))


def examples(path: Path) -> Iterator[tuple[int, Any]]:
    """(number, tf.Example) of each record.

    Raises:
        DataError: the file is damaged, or holds something else.
    """
    packed, row = path.suffix == ".gz", 0
    if not packed:
        _check_lengths(path)
    try:
        dataset = tf.data.TFRecordDataset(os.fsencode(path), "GZIP" if packed else "")  # a name may hold any bytes
        for row, record in enumerate(dataset.as_numpy_iterator()):
            yield row, tf.train.Example.FromString(record)
    except tf.errors.OpError as error:
        raise DataError(f"{path} is damaged after record {row:,}", "Fetch it again.") from error
    except message.DecodeError as error:
        raise DataError(f"a record of {path} is no tf.Example", "Name files of tf.Examples.") from error


def label_of(example: Any, feature: str, record: str) -> str | int | None:
    """The label of a record: a name, or a number. None if there is none. `record`: its name, in the error.

    Raises:
        DataError: it has several labels.
    """
    if feature not in example.features.feature:
        return None
    stated = example.features.feature[feature]
    labels = [*stated.int64_list.value, *stated.bytes_list.value]
    if len(labels) > 1:
        cause = f"{record} has {len(labels):,} labels in feature {feature}"
        raise DataError(cause, "An image has one label: name another feature in source.label, or split the records.")
    label = labels[0] if labels else None
    return nfc(label.decode(errors="replace")) if isinstance(label, bytes) else label


def image_of(example: Any, feature: str) -> bytes:
    """The encoded image of a record, b"" if it has none; of raw pixels, as `schemas.example` records them, a PNG."""
    features = example.features.feature
    content: bytes = next(iter(features[feature].bytes_list.value), b"")
    stated = [features[f"image/{side}"].int64_list.value for side in ("height", "width", "channels")]
    shape = [side[0] for side in stated if side]
    if len(shape) == 3 and min(shape) > 0 and len(content) == math.prod(shape):
        return lossless(np.frombuffer(content, np.uint8).reshape(shape))
    return content


def _check_lengths(path: Path) -> None:
    """Checks that no record claims to be longer than the file: TensorFlow would allocate that much, and crash."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while head := file.read(12):  # the length and its checksum; behind the record, another checksum
            if (length := int.from_bytes(head[:8], "little")) > size - file.tell() - 4:
                cause = f"{path} is cut short or altered: a record of {length:,} bytes does not fit into it"
                raise DataError(cause, "Fetch it again.")
            file.seek(length + 4, 1)


def matching(pattern: Path) -> list[Path]:
    """The files that a pattern matches, sorted."""
    matches = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
    return sorted(path for path in matches if path.is_file())
