"""Source `table`: a row for each image, in a CSV, JSON Lines or Parquet file.

The image is the path of a file, relative to the table's folder, or its content: bytes, or a struct with the field
`bytes`, as image datasets of Hugging Face store it.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etils import epy

from components._data.images import decoded, decoder
from components.sources.reading import SPLITS, Batch, Piece, Place, Say, Split, batches
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.source import Table
from schemas.text import nfc, printable

with epy.lazy_imports():
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.json as pa_json
    import pyarrow.parquet as pq

SUFFIXES = (".csv", ".jsonl", ".parquet")


def files(path: Path, settings: Table) -> list[str]:
    """The table and the files that it names, relative to its folder.

    Raises:
        DataError: it is no table.
    """
    rows = _read(path, settings)
    return [path.name, *rows.images] if rows.images else [path.name]


@dataclass(frozen=True)
class Rows:
    """The columns of a table, without the content of images."""

    images: tuple[str, ...]  # paths; empty if the table holds the content
    labels: tuple[str | int, ...]
    splits: tuple[str, ...]  # empty if there is no such column
    groups: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.labels)


@dataclass
class TableReader:
    """Without a column of splits, an image goes to test or validation by a hash of its group, or of its pixels."""

    settings: Table
    place: Place
    contract_labels: tuple[str, ...] = ()

    @property
    def validation(self) -> float:
        return self.settings.validation

    @property
    def test(self) -> float:
        return self.settings.test

    def prepare(self, say: Say) -> None:
        _read(self._path, self.settings)

    @property
    def names(self) -> tuple[str, str]:
        return self.settings.name, "unversioned"

    @property
    def title(self) -> str:
        return self.settings.name

    @property
    def encoding(self) -> Encoding:
        return "encoded"

    def labels(self) -> tuple[str, ...]:
        labels = set(self._rows.labels)
        if any(isinstance(label, int) for label in labels):
            return tuple(str(label) for label in range(1 + max(map(int, labels))))
        return tuple(sorted(map(str, labels)))

    def pieces(self) -> list[Piece]:
        rows, size = self._rows, self.settings.shard_size
        numbers = self._numbers()
        by_split: dict[str, list[int]] = {}
        for row in range(rows.count):
            by_split.setdefault(_split(rows.splits[row], self._path) if rows.splits else "", []).append(row)
        if missing := [split for split in ("train", "test") if by_split.keys() - {""} and split not in by_split]:
            cause = f"column {self.settings.split} of {self._path} has no row of {missing[0]}"
            raise DataError(cause, "Add some, or name another source.split to draw the splits.")
        pieces: list[Piece] = []
        for split, members in by_split.items():
            feeds: tuple[Split, ...] = (SPLITS[split],) if split else ("train", "validation", "test")
            if split == "train" and "validation" not in by_split:
                feeds = ("train", "validation")
            for first in range(0, len(members), size):
                part = members[first : first + size]
                index, count = first // size, -(-len(members) // size)
                labels = tuple(numbers[rows.labels[row]] for row in part)
                pieces.append(Piece(feeds, split or "all", index, count, first, tuple(map(str, part)), labels))
        return pieces

    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        decode, unreadable = decoder(0, encoding), list[tuple[str, str]]()
        rows, members = self._rows, list(map(int, piece.files))
        groups: list[str] = []

        def images() -> "Iterator[tuple[np.ndarray, int, bytes]]":
            contents = self._files(members) if rows.images else self._contents(members)
            for row, label, (name, content) in zip(members, piece.labels, contents, strict=True):
                try:
                    if isinstance(content, OSError):
                        raise DataError(f"{name} cannot be read: {content.strerror}")
                    image = decoded(decode, content, name)
                except DataError as error:
                    unreadable.append((name, error.cause))
                    continue
                groups.append(rows.groups[row] if rows.groups else "")
                yield image, label, content if encoding == "encoded" else b""

        for batch in batches(images()):
            yield Batch(batch.images, batch.labels, batch.contents, groups=groups.copy())
            groups.clear()
        if unreadable:
            yield Batch([], [], [], unreadable)

    def _files(self, members: list[int]) -> Iterator[tuple[str, bytes | OSError]]:
        """(path, content, or why it cannot be read) of the image of each row."""
        for row in members:
            name = self._rows.images[row]
            try:
                yield printable(name), (self._path.parent / name).read_bytes()
            except OSError as error:
                yield printable(name), error

    def _contents(self, members: list[int]) -> Iterator[tuple[str, bytes]]:
        """(name, content) of the image of each row. Holds one row group at a time."""
        file, first, wanted = pq.ParquetFile(self._path), 0, iter(members)
        row = next(wanted, None)
        for number in range(file.num_row_groups):
            count = file.metadata.row_group(number).num_rows
            if row is not None and row < first + count:
                column = file.read_row_group(number, columns=[self.settings.image])[self.settings.image]
                while row is not None and row < first + count:
                    content = column[row - first].as_py()
                    content = content.get("bytes") if isinstance(content, dict) else content
                    yield f"row {row:,} of {self._path.name}", content or b""
                    row = next(wanted, None)
            first += count

    @property
    def _path(self) -> Path:
        return Path(self.place.path or self.settings.table).expanduser()

    @property
    def _rows(self) -> Rows:
        return _read(self._path, self.settings)

    def _numbers(self) -> dict[str | int, int]:
        """The number of each label of the table."""
        labels = sorted(set(self._rows.labels), key=str)
        if any(isinstance(label, int) for label in labels):
            return {label: int(label) for label in labels}
        known = self.contract_labels or self.labels()
        numbers: dict[str | int, int] = {nfc(name): number for number, name in enumerate(known)}
        if unknown := [label for label in labels if label not in numbers]:
            cause = f"{unknown[0]} in {self._path} is not a label: the contract has {', '.join(known)}"
            raise DataError(cause, "Add the label to the contract, or remove its rows.")
        return numbers


def _split(value: str, path: Path) -> Split:
    if (split := SPLITS.get(value.lower())) is None:
        cause = f"{path} states a split {value or 'without a name'}"
        raise DataError(cause, "Splits are train, validation and test. Name another source.split to draw them.")
    return split


def _read(path: Path, settings: Table) -> Rows:
    """The columns of a table but the content of images.

    Raises:
        DataError: it is missing, no table, or lacks a column.
    """
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        cause = f"source.table {path} is not a file of {', '.join(SUFFIXES)}"
        raise DataError(cause, "Name it with --set source.table=FILE.")
    status = path.stat()
    return _read_once(path, settings, (status.st_size, status.st_mtime_ns))


@functools.lru_cache(4)
def _read_once(path: Path, settings: Table, state: tuple[int, int]) -> Rows:
    del state  # a table that was changed is read again
    try:
        columns = _columns(path, settings)
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"source.table {path} cannot be read: {reason}", "Fix the file.") from error
    for column, setting in ((settings.image, "source.image"), (settings.label, "source.label")):
        if column not in columns:
            remedy = f"It has {', '.join(columns)}; name it in {setting}, or with --{setting[7:]} of init."
            raise DataError(f"source.table {path} has no column {column}", remedy)
    labels = columns[settings.label]
    if unlabelled := [row for row, label in enumerate(labels) if label is None or label == ""]:
        raise DataError(f"row {unlabelled[0]:,} of {path} has no label", "Label it, or remove the row.")
    if not all(isinstance(label, str | int) for label in labels) or any(
        isinstance(label, int) and label < 0 for label in labels
    ):
        raise DataError(f"column {settings.label} of {path} holds neither names nor numbers from 0", "Fix the labels.")
    images = columns[settings.image]
    text = lambda name: tuple("" if value is None else str(value) for value in columns.get(name, ()))  # noqa: E731
    return Rows(
        tuple(map(str, images)) if images and isinstance(images[0], str) else (),
        tuple(nfc(label) if isinstance(label, str) else label for label in labels),
        text(settings.split),
        text(settings.group),
    )


def _columns(path: Path, settings: Table) -> dict[str, list[Any]]:
    """The values of the columns that are read; names alone of the others, and of the content of images."""
    if path.suffix.lower() == ".parquet":
        schema = pq.read_schema(path)
        wanted = [settings.label, settings.split, settings.group]
        if settings.image in schema.names and pa.types.is_string(schema.field(settings.image).type):
            wanted.append(settings.image)
        table = pq.read_table(path, columns=[name for name in schema.names if name in wanted])
        return {name: table[name].to_pylist() if name in table.column_names else [] for name in schema.names}
    table = pa_csv.read_csv(path) if path.suffix.lower() == ".csv" else pa_json.read_json(path)
    return {name: table[name].to_pylist() for name in table.column_names}
