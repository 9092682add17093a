"""Source `idx`: a folder of files in the format of MNIST (http://yann.lecun.com/exdb/mnist).

train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k or test, each as it is or compressed (.gz).
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etils import epy

from components._data.images import lossless
from components.sources.files import FilesReader
from components.sources.reading import SPLITS, Batch, Log, Piece, Split, batches
from schemas.contract import Encoding
from schemas.errors import DataError

with epy.lazy_imports():
    import numpy as np

NAMES: dict[str, Split] = SPLITS | {"t10k": "test"}  # splits by the beginning of the file's name
REMEDY = "The folder needs train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k, or compressed (.gz)."


@dataclass
class IdxReader(FilesReader):
    """Reads images and labels of each split from two files."""

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
        most = max(int(_read(labels, 1).max(initial=0)) for _, labels in self._splits().values())
        return tuple(map(str, range(most + 1)))

    def pieces(self) -> list[Piece]:
        labels = {split: _read(labels, 1).tolist() for split, (_, labels) in self._splits().items()}
        return self.cut({split: [(str(i), label) for i, label in enumerate(each)] for split, each in labels.items()})

    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        path, _ = next(files for split, files in self._splits().items() if split == piece.of)
        images = _read(path, 3)
        if len(images) < piece.first + len(piece.labels):
            raise DataError(f"{path} holds {len(images):,} images, fewer than there are labels", "Fetch it again.")
        rows = images[piece.first : piece.first + len(piece.labels)]
        rows = rows[..., np.newaxis] if rows.ndim == 3 else rows
        contents = (lossless(row) if encoding == "encoded" else b"" for row in rows)
        yield from batches(zip(rows, piece.labels, contents, strict=True))

    def _splits(self) -> dict[Split, tuple[Path, Path]]:
        """The files of images and labels of each split."""
        found: dict[Split, tuple[Path, Path]] = {}
        for path in sorted(self.path.glob("*-images?idx*-ubyte*")):
            start, _, rest = path.name.partition("-images")
            labels = [path.with_name(f"{start}-labels{rest[0]}idx1-ubyte{end}") for end in ("", ".gz")]
            if (split := NAMES.get(start.lower())) is not None:
                existing = [each for each in labels if each.is_file()]
                if not existing:
                    raise DataError(f"{path} has no file of labels beside it", REMEDY)
                found[split] = (path, existing[0])
        return found


def _read(path: Path, dimensions: int) -> "np.ndarray":
    """The array of a file of unsigned bytes with at least so many dimensions.

    Raises:
        DataError: it is no such file, or cut short.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}", "Fetch it again.") from error
    count = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0  # 8: unsigned bytes
    shape = np.frombuffer(content[4 : 4 + 4 * count], ">u4").astype(int)
    if count < dimensions or len(shape) < count or len(content) != 4 + 4 * count + shape.prod():
        raise DataError(f"{path} is no file of unsigned bytes in MNIST's format, or cut short", "Fetch it again.")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * count).reshape(shape)
