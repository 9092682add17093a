"""Source `folder`: images in a folder for each label, with or without folders for the splits."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components._data.images import SUFFIXES
from components.sources.files import File, FilesReader, batches_of, path_of, read
from components.sources.fingerprint import Digests, Fingerprint
from components.sources.listing import entries, names_below
from components.sources.reading import SPLITS, Batch, Log, Piece, Place, Split
from components.sources.writing import NO_IMAGE
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.source import Folder
from schemas.text import listed, nfc, printable

LOOSE = -1  # instead of the label of a file that is in no folder of a label


@dataclass
class FolderReader(FilesReader):
    """Reads `<label>/*`, or `<split>/<label>/*`."""

    def prepare(self, log: Log) -> None:
        if not self.path.is_dir():
            raise DataError(f"source.folder {self.path} is not a folder", "Name it with --set source.folder=FOLDER.")
        if None in self._splits() and (named := _split_folders(self.path)):
            log(f"{named[0]} holds images, not folders of labels: it is read as a label")

    def labels(self) -> tuple[str, ...]:
        folders = {nfc(path.name) for root in self._splits().values() for path in entries(root) if path.is_dir()}
        return tuple(sorted(folders))

    def pieces(self) -> list[Piece]:
        return self.cut({split: list(self._images(root)) for split, root in self._splits().items()}, name=str)

    @property
    def folder(self) -> Path:
        return self.path

    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        return batches_of(self._files(piece), encoding)

    def _files(self, piece: Piece) -> Iterator[File]:
        folder = str(self.path)
        for name, label, position in zip(piece.files, piece.labels, piece.positions, strict=True):
            path = os.path.join(folder, name)  # noqa: PTH118 - a Path for each of 100,000 files takes a second
            file = _loose_file(name, path) if label == LOOSE else image_file(path, name, label)
            yield file._replace(source=(position, printable(name)))

    def _splits(self) -> dict[Split | None, Path]:
        """The folder of each split that has one; {None: root} if none has."""
        named = _split_folders(self.path)
        others = [path for path in entries(self.path) if path.is_dir() and path not in named]
        # A label may be called train: then it holds images, as those beside it.
        if not named or (len(named) == 1 and others and not any(path.is_dir() for path in entries(named[0]))):
            return {None: self.path}
        folders: dict[Split | None, Path] = dict(sorted((SPLITS[path.name.lower()], path) for path in named))
        if len(folders) < len(named):
            cause = f"{self.path} holds two folders for one split: {', '.join(path.name for path in named)}"
            raise DataError(cause, "Remove one of them.")
        if others:
            self._refuse_beside_splits(named, others)
        if missing := [split for split in ("train", "test") if split not in folders]:
            cause = f"{self.path} has folders for splits, but none for {missing[0]}"
            raise DataError(cause, "Add it, or put all images into one folder for each label.")
        return folders

    def _refuse_beside_splits(self, named: list[Path], others: list[Path]) -> None:
        beside = listed([path.name for path in others], 5)
        splits = ", ".join(path.name for path in named)
        raise DataError(
            f"{self.path} holds folders for splits ({splits}), and others beside them: {beside}",
            f"Move these into the splits or away. If {named[0].name} is a label, put its images directly into its "
            "folder, or list the images in a table: source.table.",
        )

    def _images(self, root: Path) -> Iterator[tuple[str, int]]:
        """(path below the source's folder, label) of each image, in the order of the labels and paths."""
        numbers = self.numbers(self.labels())
        folders = [path for path in entries(root) if path.is_dir()]
        if not folders:
            raise DataError(f"{root} holds no folders of images", "Put the images into a folder for each label.")
        for folder in folders:
            if (number := numbers.get(nfc(folder.name))) is None:
                cause = f"{folder} is not a label: the contract has {', '.join(self.contract_labels)}"
                raise DataError(cause, "Add the label to the contract, or move the folder away.")
            for name in names_below(folder, self.path):
                yield name, number
        # Last, so that they do not change the positions of images.
        loose = [path for path in entries(root) if not path.is_dir()]
        if root != self.path and root == min(self._splits().values()):
            loose += [path for path in entries(self.path) if not path.is_dir()]
        for path in loose:
            yield str(path.relative_to(self.path)), LOOSE


def fingerprint(settings: Folder, place: Place, digests: Digests) -> Fingerprint:
    """All files of the folder. One without read permission does not end the run: the reader sets it aside."""
    path = path_of(settings, place)
    return Fingerprint(path, digests.of(path, set_aside=True) if path.is_dir() else {})


def _split_folders(root: Path) -> list[Path]:
    return [path for path in entries(root) if path.name.lower() in SPLITS and path.is_dir()]


def _loose_file(name: str, path: str) -> File:
    title = printable(path)
    reason = "is in no folder of a label" if _is_named_as_image(path) else NO_IMAGE
    return File(name, DataError(f"{title} {reason}"), LOOSE, title)


def image_file(path: str, name: str, label: int) -> File:
    """The image at a path, or why it is none."""
    title = printable(path)
    if _is_named_as_image(path):
        return File(name, read(path, title), label, title)
    return File(name, DataError(f"{title} is not an image; {', '.join(SUFFIXES)} are supported"), label, title)


def _is_named_as_image(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in SUFFIXES  # noqa: PTH122 - the same
