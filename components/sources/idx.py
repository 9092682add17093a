"""Source `idx`: a folder of files in the format of MNIST (http://yann.lecun.com/exdb/mnist).

train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k or test, each as it is or compressed (.gz).
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from etils import epy

from components._data.images import lossless
from components.sources.files import FilesReader, path_of
from components.sources.fingerprint import Digests, Fingerprint
from components.sources.reading import SPLITS, Batch, Log, Piece, Place, Split, batches
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.source import Idx

with epy.lazy_imports():
    import numpy as np

NAMES: dict[str, Split] = SPLITS | {"t10k": "test"}  # splits by the beginning of the file's name
PACKED = 1100  # above the maximal compression ratio of gzip, 1,032
REMEDY = "The folder needs train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k, or compressed (.gz)."


@dataclass
class IdxReader(FilesReader):
    """Reads images and labels of each split from two files."""

    # The file that this worker read last: pieces of one file follow each other, and a file may be compressed.
    last: "tuple[Path, np.ndarray] | None" = field(default=None, init=False, repr=False, compare=False)

    @property
    def encoding(self) -> Encoding:
        return "raw"

    def prepare(self, log: Log) -> None:
        if not self.path.is_dir():
            raise DataError(f"source.idx {self.path} is not a folder", "Name it with --set source.idx=FOLDER.")
        splits = self._splits()
        if missing := [split for split in ("train", "test") if split not in splits]:
            raise DataError(f"{self.path} has no images of {missing[0]} in MNIST's format", REMEDY)

    def labels(self) -> tuple[str, ...]:
        most = max(int(labels(path).max(initial=0)) for _, path in self._splits().values())
        return tuple(map(str, range(most + 1)))

    def pieces(self) -> list[Piece]:
        numbers = {split: labels(path).tolist() for split, (_, path) in self._splits().items()}
        return self.cut({split: [(str(i), label) for i, label in enumerate(each)] for split, each in numbers.items()})

    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        path, _ = next(files for split, files in self._splits().items() if split == piece.of)
        pixels = self._images(path)
        if len(pixels) < piece.first + len(piece.labels):
            raise DataError(f"{path} holds {len(pixels):,} images, fewer than there are labels", "Fetch it again.")
        rows = pixels[piece.first : piece.first + len(piece.labels)]
        rows = rows[..., np.newaxis] if rows.ndim == 3 else rows
        contents = (lossless(row) if encoding == "encoded" else b"" for row in rows)
        yield from batches(zip(rows, piece.labels, contents, strict=True))

    def _images(self, path: Path) -> "np.ndarray":
        if self.last is None or self.last[0] != path:
            self.last = (path, images(path))
        return self.last[1]

    def _splits(self) -> dict[Split, tuple[Path, Path]]:
        """The files of images and labels of each split."""
        splits: dict[Split, tuple[Path, Path]] = {}
        for path in sorted(self.path.glob("*-images?idx*-ubyte*")):
            start, _, rest = path.name.partition("-images")
            labels = [path.with_name(f"{start}-labels{rest[0]}idx1-ubyte{end}") for end in ("", ".gz")]
            if (split := NAMES.get(start.lower())) is not None:
                existing = [each for each in labels if each.is_file()]
                if not existing:
                    raise DataError(f"{path} has no file of labels beside it", REMEDY)
                splits[split] = (path, existing[0])
        return splits


def fingerprint(settings: Idx, place: Place, digests: Digests) -> Fingerprint:
    """All files of the folder."""
    path = path_of(settings, place)
    return Fingerprint(path, digests.of(path) if path.is_dir() else {})


def images(path: Path) -> "np.ndarray":
    """uint8 [count, height, width] or [count, height, width, channels].

    Raises:
        DataError: the file holds something else.
    """
    return _checked(path, (3, 4), "images have 3, or 4 with channels")


def labels(path: Path) -> "np.ndarray":
    """uint8 [count]. Raises DataError if the file holds something else."""
    return _checked(path, (1,), "labels have 1")


def _checked(path: Path, dimensions: tuple[int, ...], expected: str) -> "np.ndarray":
    content = array(path)
    if content.ndim not in dimensions:
        raise DataError(f"{path} holds an array of {content.ndim} dimensions; {expected}", REMEDY)
    if len(content) and not content.size:
        raise DataError(f"{path} holds images without pixels", REMEDY)
    return content


def array(path: Path) -> "np.ndarray":
    """A file of unsigned bytes, compressed or not, as an array of its own shape.

    Raises:
        DataError: it is no such file, or cut short, or its header states more bytes than it can hold.
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
            if len(values := content.read(size + 1)) != size:
                raise ValueError(f"it holds {'fewer' if len(values) < size else 'more'} bytes than its header states")
            return np.frombuffer(values, np.uint8).reshape(sides)
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is not a complete IDX file: {error}", "Fetch it again.") from error
