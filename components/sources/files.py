"""What the sources have in common whose images are files of the user's own."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from etils import epy

from components._data.conversion import as_png
from components._data.images import decoded, decoder, examine, examine_one
from components.sources import cutting
from components.sources.reading import Batch, Piece, Place, Split, batches, grouped, in_threads
from schemas.contract import Encoding
from schemas.errors import DataError, EnvironmentFailure, is_transient
from schemas.settings.source import Files
from schemas.text import nfc

with epy.lazy_imports():
    import numpy as np

PIECE_FILES, PIECE_BYTES = 1000, 2**24  # of a piece at most: 100,000 files make about 200 pieces
EXAMINED_BYTES = 2**19  # that a thread decodes at a time: again one by one, if one of the images is unreadable


class File(NamedTuple):
    """An encoded image with its label."""

    name: str  # in the list of unreadable images
    content: bytes | DataError  # or why it cannot be read
    label: int
    title: str  # in the reason
    group: str = ""
    metadata: tuple[str, ...] = ()
    source: tuple[int, str] | None = None  # `source/index` and `source/file`; None: images are counted


@dataclass
class FilesReader:
    """A reader of files. Where no splits are delivered, an image goes to test or validation by a hash of its group, or
    of its pixels: it stays there when other images are added, and copies of an image stay together.
    """

    settings: Files
    place: Place
    contract_labels: tuple[str, ...] = ()  # in the order of the labels; without them, alphabetical order

    @property
    def shares(self) -> dict[str, float]:
        return {"test": self.settings.test, "validation": self.settings.validation}

    @property
    def names(self) -> tuple[str, str]:
        return self.settings.name, "unversioned"

    @property
    def title(self) -> str:
        return self.settings.name

    @property
    def encoding(self) -> Encoding:
        return "encoded"

    @property
    def metadata(self) -> tuple[str, ...]:
        return ()

    @property
    def path(self) -> Path:
        """Of the folder or table."""
        return path_of(self.settings, self.place)

    @property
    def folder(self) -> Path | None:
        """The folder that the names of a piece's files are relative to; None if they are not files."""
        return None

    def facts(self, piece: Piece) -> Any:
        """What records depend on beside their files' names, labels and contents, as JSON values."""
        return None

    def cut(
        self, by_split: Mapping[Split | None, Sequence[tuple[str, int]]], name: Callable[[str], str] | None = None
    ) -> list[Piece]:
        """Pieces of (file, label) by delivered split; None: the splits are drawn.

        `name`: the name of a file, by which it is numbered and pieces are cut, so that they stay when others change.
        Without it, pieces have equal numbers of images.
        """
        pieces: list[Piece] = []
        size = self.settings.shard_size
        names = [name(file) for images in by_split.values() for file, _ in images] if name else []
        positions, done = cutting.positions(names), 0
        for split, images in by_split.items():
            feeds: tuple[Split, ...] = (split,) if split else ("train", "validation", "test")
            if split == "train" and "validation" not in by_split:
                feeds = ("train", "validation")
            own, ends = slice(done, done + len(images)), [*range(size, len(images), size), len(images)]
            done += len(images)
            if name:
                sizes = _sizes(self.folder, names[own])
                ends = cutting.ends(positions[own], sizes, min(size, PIECE_FILES), PIECE_BYTES)
            for index, (first, end) in enumerate(pairwise([0, *ends])):
                files, labels = zip(*images[first:end], strict=True)
                piece = Piece(feeds, split or "all", index, len(ends), first, files, labels)
                if name:
                    part = slice(own.start + first, own.start + end)
                    piece = replace(piece, positions=tuple(positions[part]), names=tuple(names[part]))
                pieces.append(piece)
        return pieces

    @abstractmethod
    def pieces(self) -> list[Piece]:
        """All images, in pieces, as `Reader` states."""

    @abstractmethod
    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        """The images of a piece, as `Reader` states."""

    def sample(self) -> Iterator[Batch]:
        """The first and the last image of each label, examined: whether all images may have one small size."""
        images = [image for piece in self.pieces() for image in zip(piece.files, piece.labels, strict=True)]
        last = {label: i for i, (_, label) in enumerate(images)}
        first = {label: i for i, (_, label) in reversed([*enumerate(images)])}
        chosen = [images[i] for i in sorted({*first.values(), *last.values()})]
        for part in (chosen[:1], chosen[1:]):  # the first one mostly decides
            if part:
                files, labels = zip(*part, strict=True)
                yield from self.read(
                    Piece(("train",), "sample", 0, 1, 0, files, labels, tuple(range(len(files)))), "encoded"
                )

    def numbers(self, labels: Sequence[str]) -> dict[str, int]:
        """The numbers of the labels that the contract names; without a contract, those of `labels`, in order."""
        return {nfc(name): number for number, name in enumerate(self.contract_labels or labels)}


def _sizes(folder: Path | None, names: Iterable[str]) -> list[int]:
    """Bytes of files; 0 of those that do not exist, or whose size is not known without reading them."""

    def size(name: str) -> int:
        try:
            # A Path for each of 100,000 files takes a second.
            return os.stat(os.path.join(folder, name)).st_size if folder else 0  # noqa: PTH116, PTH118
        except (OSError, ValueError):
            return 0

    return list(map(size, names))


def path_of(settings: Files, place: Place) -> Path:
    """Where the folder or table is on this machine."""
    return Path(place.path or settings.path).expanduser()


def batches_of(files: Iterable[File], encoding: Encoding, channels: int = 0) -> Iterator[Batch]:
    """Batches of the images that can be decoded, with those that cannot be read.

    `channels`: of images that are recorded raw; 0: as in the file.
    """
    files = map(converted, files)
    if encoding == "encoded":
        # Files are read and records are written while the next batches are decoded. Two threads for each core, so that
        # one that waits for Python's lock leaves no core idle.
        yield from in_threads(examined, grouped(files, _size, EXAMINED_BYTES), 2 * (os.cpu_count() or 1))
    else:
        yield from _as_pixels(files, channels)


def _as_pixels(files: Iterable[File], channels: int) -> Iterator[Batch]:
    decode, unreadable = decoder(channels), list[tuple[str, str]]()
    groups, metadata, sources = list[str](), list[tuple[str, ...]](), list[tuple[int, str]]()

    def images() -> "Iterator[tuple[np.ndarray, int, bytes]]":
        for file in files:
            try:
                if isinstance(file.content, DataError):
                    raise file.content
                image = decoded(decode, file.content, file.title)
            except DataError as error:
                unreadable.append((file.name, error.cause))
                continue
            groups.append(file.group)
            metadata.append(file.metadata)
            sources.extend([file.source] if file.source else [])
            yield image, file.label, b""

    for batch in batches(images()):
        yield replace(batch, groups=groups.copy(), metadata=metadata.copy(), sources=sources.copy())
        for each in (groups, metadata, sources):
            each.clear()
    if unreadable:
        yield Batch([], [], [], unreadable)


def converted(file: File) -> File:
    """The file with an image that TensorFlow decodes, or the reason why there is none."""
    if isinstance(file.content, DataError):
        return file
    try:
        return file._replace(content=as_png(file.content, file.title))
    except DataError as error:
        return file._replace(content=error)


def _size(file: File) -> int:
    return len(file.content) if isinstance(file.content, bytes) else 0


def examined(files: Sequence[File]) -> Batch:
    """The images as they were delivered, with those that cannot be read."""
    contents = [file.content for file in files if isinstance(file.content, bytes)]
    images = iter(examine(contents) or [])
    batch = Batch([], [], [])
    for file in files:
        try:
            if isinstance(file.content, DataError):
                raise file.content
            image = next(images, None) or examine_one(file.content, file.title)
        except DataError as error:
            batch.unreadable.append((file.name, error.cause))
            continue
        batch.images.append(image)
        batch.labels.append(file.label)
        batch.contents.append(file.content)
        batch.groups.append(file.group)
        batch.metadata.append(file.metadata)
        batch.sources.extend([file.source] if file.source else [])
    return batch


def read(path: str, title: str) -> bytes | DataError:
    """The content of a file, or why it cannot be read.

    Raises:
        EnvironmentFailure: the disk or the network failed: the image may be fine.
    """
    try:
        # Opening a pipe would block forever. No Paths, as above.
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
            return DataError(f"{title} cannot be read: Not a file")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read()
    except (OSError, ValueError) as error:  # a ValueError: the name holds a zero byte
        cause = f"{title} cannot be read: {getattr(error, 'strerror', None) or error}"
        if is_transient(error):
            raise EnvironmentFailure(cause, "Run again later.") from error
        refused = DataError(cause)
        refused.__cause__ = error
        return refused
