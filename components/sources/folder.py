"""Source `folder`: images in a folder for each label, with or without folders for the splits."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components._data.images import SUFFIXES
from components.sources.files import File, FilesReader, batches_of, read
from components.sources.reading import SPLITS, Batch, Log, Piece, Split, is_ignored
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.text import nfc, printable


@dataclass
class FolderReader(FilesReader):
    """Reads `<label>/*`, or `<split>/<label>/*`."""

    def prepare(self, log: Log) -> None:
        if not self.path.is_dir():
            raise DataError(f"source.folder {self.path} is not a folder", "Name it with --set source.folder=FOLDER.")

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
        for name, label, position in zip(piece.files, piece.labels, piece.positions, strict=True):
            yield image_file(self.path / name, name, label)._replace(source=(position, printable(name)))

    def _splits(self) -> dict[Split | None, Path]:
        """The folder of each split that has one; {None: root} if none has."""
        named = [(SPLITS[path.name.lower()], path) for path in entries(self.path) if path.name.lower() in SPLITS]
        if not named:
            return {None: self.path}
        folders: dict[Split | None, Path] = dict(sorted(named))
        if len(folders) < len(named):
            cause = f"{self.path} holds two folders for one split: {', '.join(path.name for _, path in named)}"
            raise DataError(cause, "Remove one of them.")
        if missing := [split for split in ("train", "test") if split not in folders]:
            cause = f"{self.path} has folders for splits, but none for {missing[0]}"
            raise DataError(cause, "Add it, or put all images into one folder for each label.")
        return folders

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
            for path in below(folder):
                yield str(path.relative_to(self.path)), number


def image_file(path: Path, name: str, label: int) -> File:
    """The image at a path, or why it is none."""
    title = printable(str(path))
    if path.suffix.lower() in SUFFIXES:
        return File(name, read(path, title), label, title)
    return File(name, DataError(f"{title} is not an image; {', '.join(SUFFIXES)} are supported"), label, title)


def entries(folder: Path) -> list[Path]:
    """The files and folders in it that are not ignored, sorted."""
    return sorted(path for path in folder.iterdir() if not is_ignored(path))


def below(folder: Path) -> Iterator[Path]:
    """The files at any depth."""
    for path in entries(folder):
        if path.is_dir():
            yield from below(path)
        else:
            yield path
