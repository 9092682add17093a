"""A span as a source: a folder of images for each label, pairs of IDX files, or TFRecord files.

reader = SpanReader(Path("data/span-0007"), labels=(), size=10_000, shares={"validation": 0.1, "fresh": 0.1})
for piece in reader.pieces():
    for batch in reader.read(piece, "encoded"): ...

Spans come from outside and are read at once, so their names, links and sizes are checked before their content is read.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from etils import epy

from components._data.images import SUFFIXES, lossless
from components.sources import idx, tfrecord
from components.sources.files import File, batches_of
from components.sources.folder import image_file
from components.sources.listing import entries, names_below
from components.sources.reading import Batch, Piece, batches
from schemas.contract import Encoding
from schemas.errors import DataError, EnvironmentFailure, last_line
from schemas.settings.spans import LONGEST, READY, is_valid_name
from schemas.text import nfc, printable

with epy.lazy_imports():
    import numpy as np

IMAGE, LABEL = "image", "label"  # features of TFRecord files


@dataclass(frozen=True)
class SpanReader:
    """Reads one span. An unreadable image is set aside; a damaged IDX or TFRecord file is an error."""

    folder: Path
    labels: tuple[str, ...]  # names of the folders of images, by label; without them, they are numbers
    size: int  # images of a piece
    shares: dict[str, float] = field(default_factory=dict)
    metadata: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, str]:
        return "spans", self.folder.name

    def pieces(self) -> list[Piece]:
        """The files in the order of their names, images in pieces of `size`.

        Raises:
            DataError: the folder is empty, holds something else, or cannot be read.
        """
        with _explained(self.folder):
            _check_plain(self.folder)
            folders, records, pairs = self._forms()
            parts = [*self._images(folders), *_pairs(pairs), *(((str(path),), ()) for path in records)]
            if not parts:
                raise DataError(f"{self.folder} holds no images")
            splits = (*self.shares, "train")
            return [Piece(splits, "span", i, len(parts), i * 2**32, *part) for i, part in enumerate(parts)]

    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        """The images of a piece, in order.

        Raises:
            DataError: a file cannot be read, or an IDX or TFRecord file is damaged; names it.
        """
        with _explained(piece.files[0]):
            if piece.labels:
                yield from batches_of(self._files(piece), encoding)
                return
            if len(piece.files) == 2:
                yield from _of_idx(*piece.files, encoding)
            else:
                yield from batches_of(_of_records(piece.files[0]), encoding)

    def _files(self, piece: Piece) -> Iterator[File]:
        for name, label in zip(piece.files, piece.labels, strict=True):
            file = image_file(str(self.folder / name), printable(name), label)
            # The machine's fault rather than the image's: the span is read again by the next run.
            if isinstance(file.content, DataError) and isinstance(file.content.__cause__, OSError):
                raise file.content
            yield file

    def _forms(self) -> tuple[list[Path], list[Path], list[Path]]:
        """Folders of images, TFRecord files, IDX files: those of one form."""
        paths = [path for path in entries(self.folder) if path.name != READY]
        folders = [path for path in paths if path.is_dir()]
        files = [path for path in paths if path not in folders]
        records = [path for path in files if path.suffix in (".tfrecord", ".tfrecords") or ".tfrecord-" in path.name]
        pairs = [path for path in files if "-idx" in path.name and path not in records]
        if other := next((path for path in files if path not in (*records, *pairs)), None):
            raise DataError(f"{other} is neither a folder of images, an IDX file nor a TFRecord")
        if len(kinds := [kind for kind in (folders, records, pairs) if kind]) > 1:
            raise DataError(
                f"{self.folder} holds {kinds[0][0].name} and {kinds[1][0].name}; a span must contain one form only"
            )
        return folders, records, pairs

    def _images(self, folders: list[Path]) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
        """(files, labels) of each piece."""
        numbers = {folder: self._label(folder) for folder in folders}
        forms: dict[str, Path] = {}
        for folder in folders:
            if (other := forms.setdefault(nfc(folder.name), folder)) != folder:
                raise DataError(f"{other} and {folder} have the same name in two Unicode forms")
        images = [(name, numbers[each]) for each in folders for name in names_below(each, self.folder)]
        for first in range(0, len(images), self.size):
            files, labels = zip(*images[first : first + self.size], strict=True)
            yield files, labels

    def _label(self, folder: Path) -> int:
        if (name := nfc(folder.name)) in (known := [nfc(label) for label in self.labels]):
            return known.index(name)
        if not known and folder.name.isdecimal() and len(folder.name) <= 18:  # int64 holds them
            return int(folder.name)
        listed, numbered = f"spans.labels has {', '.join(self.labels)}", "folders are named by the label's number"
        raise DataError(f"{folder} is not a label: {listed if known else f'without spans.labels, {numbered}'}")


@contextmanager
def _explained(where: Path | str) -> Iterator[None]:
    """Turns any error of reading a span into a DataError with the reason: one bad span must not end the run."""
    try:
        yield
    except DataError:
        raise
    except EnvironmentFailure as failure:  # by its cause, for which the next run reads the span again
        raise DataError(failure.cause) from failure.__cause__
    except OSError as error:
        raise DataError(f"{error.filename or where} cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise DataError(f"{where} cannot be read: {type(error).__name__}: {last_line(error)}") from error


def _check_plain(folder: Path) -> None:
    """Checks names and types of files: a link leads out of the span, and reading a pipe would block forever."""
    if not is_valid_name(folder.name):
        limits = f"at most {LONGEST} bytes, no backslash and only printable characters"
        raise DataError(f"{folder}: a span's name may have {limits}")
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise DataError(f"{path} is a symbolic link; a span holds plain files only")
        if stat.S_ISDIR(mode) and path.suffix.lower() in SUFFIXES:
            raise DataError(f"{path} is a folder with the name of an image")
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise DataError(f"{path} is a pipe, a socket or a device; a span holds plain files only")


def _pairs(files: list[Path]) -> Iterator[tuple[tuple[str, str], tuple[()]]]:
    """IDX files of images, each with that of its labels."""
    images, labels = ([path for path in files if f"-idx{rank}" in path.name] for rank in (3, 1))
    images += [path for path in files if "-idx4" in path.name]
    if len(images) != len(labels) or len(images) + len(labels) != len(files):
        raise DataError(f"{files[0].parent} holds {len(images)} IDX files of images and {len(labels)} of labels")
    for pair in zip(map(str, sorted(images)), map(str, labels), strict=True):
        yield pair, ()


def _of_idx(images: str, labels: str, encoding: Encoding) -> Iterator[Batch]:
    pixels, numbers = idx.images(Path(images)), idx.labels(Path(labels))
    if len(pixels) != len(numbers):
        raise DataError(f"{images} holds {len(pixels):,} images, {labels} {len(numbers):,} labels")
    pixels = pixels if pixels.ndim == 4 else pixels[..., np.newaxis]
    pairs = zip(pixels, numbers.tolist(), strict=True)
    if encoding == "raw":
        return batches((image, label, b"") for image, label in pairs)
    # As files, so that an image is drawn by the same hash in whatever form it comes.
    return batches_of((File(images, lossless(image), label, images) for image, label in pairs), encoding)


def _of_records(path: str) -> Iterator[File]:
    """Of `tf.Example`s with `label` and `image`."""
    for row, example in tfrecord.examples(Path(path)):
        title = f"record {row:,} of {printable(path)}"
        label = tfrecord.label_of(example, LABEL, title)
        if not isinstance(label, int):
            raise DataError(f"{title} has no label that is a number")
        image = tfrecord.image_of(example, IMAGE)
        yield File(title, image or DataError(f"{title} holds no image"), label, title)
