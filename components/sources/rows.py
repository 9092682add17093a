"""What sources have in common that know a row for each image before they read it: label, split, group, metadata."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

from components.sources.files import File, FilesReader, batches_of
from components.sources.reading import SPLITS, Batch, Log, Piece, Split
from schemas.contract import Encoding
from schemas.errors import ConfigurationError, DataError
from schemas.text import printable

MAX_VALUES = 1000  # of a column that is sliced by


@dataclass(frozen=True)
class Rows:
    """What is known of all images, in the order of the source."""

    labels: tuple[str | int, ...]
    splits: tuple[str, ...]  # empty if none are delivered
    groups: tuple[str, ...]  # the same
    metadata: dict[str, tuple[str, ...]]  # by name, sorted


def check_slices(where: str, rows: Rows, columns: Sequence[str]) -> None:
    """Raises ConfigurationError unless records carry these columns, with few enough values to slice by."""
    for name in columns:
        if name not in rows.metadata:
            cause = f"evaluate.slices names {name}, which is not a column of {where} stored in the records"
            raise ConfigurationError(cause, f"They carry {', '.join(rows.metadata) or 'none'}.")
        if (count := len({*rows.metadata[name]})) > MAX_VALUES:
            cause = f"evaluate.slices names {name}, which has {count:,} values in {where}"
            raise ConfigurationError(cause, f"Slice by columns of at most {MAX_VALUES:,} values.")


@dataclass
class RowsReader(FilesReader):
    """Reads the images of rows. In pieces, an image's file is the number of its row."""

    @property
    @abstractmethod
    def rows(self) -> Rows:
        """Raises DataError if there is no such data."""

    @abstractmethod
    def contents(self, wanted: list[int]) -> Iterator[tuple[str, bytes | DataError]]:
        """(name, encoded image, or why it cannot be read) of rows, by their numbers."""

    @property
    def images(self) -> Sequence[str] | None:
        """The names of the images, by row; None if they have none."""
        return None

    @property
    def where(self) -> str:
        """The source, in messages."""
        return str(self.path)

    def prepare(self, log: Log) -> None:
        if not self.rows.labels:
            raise DataError(f"{self.where} has no rows", "Add images.")

    def labels(self) -> tuple[str, ...]:
        labels = set(self.rows.labels)
        if any(isinstance(label, int) for label in labels):
            return tuple(str(label) for label in range(1 + max(map(int, labels))))
        return tuple(sorted(map(str, labels)))

    @property
    def metadata(self) -> tuple[str, ...]:
        return tuple(self.rows.metadata)

    def pieces(self) -> list[Piece]:
        rows, by_split = self.rows, dict[Split | None, list[tuple[str, int]]]()
        numbers = self._numbers()
        for row, label in enumerate(rows.labels):
            split = self._split(rows.splits[row]) if rows.splits else None
            by_split.setdefault(split, []).append((str(row), numbers[label]))
        if rows.splits and (missing := [split for split in ("train", "test") if split not in by_split]):
            cause = f"{self.where} states splits, but no row of {missing[0]}"
            raise DataError(cause, "Add some, or name another source.split to draw the splits.")
        if rows.splits and rows.groups:
            self._check_groups(rows)
        if (images := self.images) is not None:
            return self.cut(by_split, name=lambda row: images[int(row)])
        return [replace(piece, positions=tuple(map(int, piece.files))) for piece in self.cut(by_split)]

    def facts(self, piece: Piece) -> Any:
        rows, numbers = self.rows, list(map(int, piece.files))
        groups = [rows.groups[row] for row in numbers] if rows.groups else []
        unnamed = [row for row, name in zip(numbers, piece.names, strict=True) if not name]  # named in messages
        return groups, {name: [values[row] for row in numbers] for name, values in rows.metadata.items()}, unnamed

    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        return batches_of(self._files(piece), encoding)

    def _files(self, piece: Piece) -> Iterator[File]:
        rows, wanted = self.rows, list(map(int, piece.files))
        sources = zip(piece.positions, map(printable, piece.names or repeat("")), strict=False)
        for row, label, source, (title, content) in zip(
            wanted, piece.labels, sources, self.contents(wanted), strict=True
        ):
            metadata = tuple(values[row] for values in rows.metadata.values())
            yield File(title, content, label, title, rows.groups[row] if rows.groups else "", metadata, source)

    def _check_groups(self, rows: Rows) -> None:
        """Checks that no group is in two delivered splits: the test would measure images like those of training."""
        splits: dict[str, Split] = {}
        shared: dict[str, list[Split]] = {}
        for group, value in zip(rows.groups, rows.splits, strict=True):
            if group and splits.setdefault(group, split := self._split(value)) != split:
                shared.setdefault(group, [splits[group], split])
        if shared:
            group, (one, other) = next(iter(shared.items()))
            more = f"; in all, {len(shared):,} groups are in several splits" if len(shared) > 1 else ""
            cause = f"group {group} of {self.where} is in {one} and in {other}{more}"
            remedy = "Put each group into one split, or name another source.split to draw the splits by group."
            raise DataError(cause, remedy)

    def _split(self, value: str) -> Split:
        if (split := SPLITS.get(value.lower())) is None:
            cause = f"{self.where} states a split {value or 'without a name'}"
            raise DataError(cause, "Splits are train, validation and test. Name another source.split to draw them.")
        return split

    def _numbers(self) -> dict[str | int, int]:
        """The number of each label."""
        labels = sorted(set(self.rows.labels), key=str)
        if any(isinstance(label, int) for label in labels):
            return {label: int(label) for label in labels}
        numbers: dict[str | int, int] = dict(self.numbers(self.labels()).items())
        if unknown := [label for label in labels if label not in numbers]:
            cause = f"{unknown[0]} in {self.where} is not a label: the contract has {', '.join(self.contract_labels)}"
            raise DataError(cause, "Add the label to the contract, or remove its rows.")
        return numbers
