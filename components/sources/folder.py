"""Source `folder`: images in a folder for each label, with or without folders for the splits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from etils import epy

from components._data.images import SUFFIXES, decoded, decoder
from components.sources.reading import SPLITS, Batch, Piece, Place, Say, Split, batches, is_ignored
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.source import Folder
from schemas.text import nfc, printable

with epy.lazy_imports():
    import numpy as np


@dataclass
class FolderReader:
    """Without folders for the splits, an image goes to test or validation by a hash of its pixels: it stays there when
    other images are added, and copies of an image stay together.
    """

    settings: Folder
    place: Place
    contract_labels: tuple[str, ...] = ()  # in the order of the labels; without them, folders in alphabetical order

    @property
    def validation(self) -> float:
        return self.settings.validation

    @property
    def test(self) -> float:
        return self.settings.test

    def prepare(self, say: Say) -> None:
        if not self._root.is_dir():
            raise DataError(f"source.folder {self._root} is not a folder", "Name it with --set source.folder=FOLDER.")

    @property
    def names(self) -> tuple[str, str]:
        return self.settings.name, "unversioned"

    @property
    def title(self) -> str:
        return self.settings.name

    def labels(self) -> tuple[str, ...]:
        folders = {nfc(path.name) for _, root in self._splits() for path in _entries(root) if path.is_dir()}
        return tuple(sorted(folders))

    def pieces(self) -> list[Piece]:
        pieces: list[Piece] = []
        splits = self._splits()
        delivered = {split for split, _ in splits if split}
        for split, root in splits:
            images = list(self._images(root))
            feeds: tuple[Split, ...] = (split,) if split else ("train", "validation", "test")
            if split == "train" and "validation" not in delivered:
                feeds = ("train", "validation")
            size = self.settings.shard_size
            for first in range(0, len(images), size):
                files, labels = zip(*images[first : first + size], strict=True)
                index, count = first // size, -(-len(images) // size)
                pieces.append(Piece(feeds, split or "all", index, count, first, files, labels))
        return pieces

    @property
    def encoding(self) -> Encoding:
        return "encoded"

    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        decode, unreadable = decoder(0, encoding), list[tuple[str, str]]()

        def images() -> "Iterator[tuple[np.ndarray, int, bytes]]":
            for file, label in zip(piece.files, piece.labels, strict=True):
                try:
                    image, content = _image(decode, self._root / file)
                    yield image, label, content if encoding == "encoded" else b""
                except DataError as error:
                    unreadable.append((file, error.cause))

        yield from batches(images())
        if unreadable:
            yield Batch([], [], [], unreadable)

    @property
    def _root(self) -> Path:
        return Path(self.place.path or self.settings.folder).expanduser()

    def _splits(self) -> list[tuple[Split | None, Path]]:
        """(split, folder) of each split that has a folder; [(None, root)] if the folder has none."""
        named = [(SPLITS[path.name.lower()], path) for path in _entries(self._root) if path.name.lower() in SPLITS]
        if not named:
            return [(None, self._root)]
        found = dict(named)
        if len(found) < len(named):
            cause = f"{self._root} holds two folders for one split: {', '.join(path.name for _, path in named)}"
            raise DataError(cause, "Remove one of them.")
        if missing := [split for split in ("train", "test") if split not in found]:
            cause = f"{self._root} has folders for splits, but none for {missing[0]}"
            raise DataError(cause, "Add it, or put all images into one folder for each label.")
        return [*sorted(found.items())]

    def _images(self, root: Path) -> Iterator[tuple[str, int]]:
        """(path below the source's folder, label) of each image, in the order of the labels and paths."""
        known = self.contract_labels or self.labels()
        numbers = {nfc(name): number for number, name in enumerate(known)}
        folders = [path for path in _entries(root) if path.is_dir()]
        if not folders:
            raise DataError(f"{root} holds no folders of images", "Put the images into a folder for each label.")
        for folder in folders:
            if (number := numbers.get(nfc(folder.name))) is None:
                cause = f"{folder} is not a label: the contract has {', '.join(known)}"
                raise DataError(cause, "Add the label to the contract, or move the folder away.")
            for path in _files(folder):
                yield str(path.relative_to(self._root)), number


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not is_ignored(path))


def _files(folder: Path) -> Iterator[Path]:
    for path in _entries(folder):
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _image(decode: "Callable[[bytes], np.ndarray]", path: Path) -> "tuple[np.ndarray, bytes]":
    name = printable(str(path))
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{name} is not an image; {', '.join(SUFFIXES)} are supported")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error
    return decoded(decode, content, name), content
