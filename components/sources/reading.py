"""The protocol of a source: how its work is cut into pieces, and how a piece is read.

reader = open_source(settings, place)     # components.sources
reader.prepare(print)
for piece in reader.pieces():
    for batch in reader.read(piece, "raw"): ...     # Batch(images, labels, contents, unreadable)
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from schemas.contract import Encoding
from schemas.example import BATCH_BYTES
from schemas.settings.source import Custom, SourceSettings, Tfds

if TYPE_CHECKING:
    import numpy as np

Log = Callable[[str], None]
Split = Literal["train", "validation", "test"]
SPLITS: dict[str, Split] = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "valid": "validation",
    "test": "test",
}  # by the names of delivered splits
SMALL = 64  # pixels of a side up to which images of one size are recorded raw: decoding takes longer than reading
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Place:
    """Where data is on this machine: no part of a cache key."""

    data_dir: str | None = None
    manual_dir: str | None = None
    path: str | None = None  # of the folder or table


def place_of(settings: SourceSettings) -> Place:
    """Where the data of a source is, by its settings."""
    if isinstance(settings, Tfds):
        return Place(settings.data_dir, settings.manual_dir)
    return Place() if isinstance(settings, Custom) else Place(path=settings.path)


@dataclass(frozen=True)
class Piece:
    """Images that one worker reads. They become one shard of each split."""

    splits: tuple[str, ...]  # that it feeds
    of: str  # the source's own split, recorded as `source/split`
    index: int  # of this piece among the `count` pieces of the same split
    count: int
    first: int  # recorded `source/index` of its first image
    files: tuple[str, ...] = ()  # in a table, the numbers of their rows
    labels: tuple[int, ...] = ()  # of the files
    positions: tuple[int, ...] = ()  # recorded `source/index` of each file; without them, images count from `first`
    names: tuple[str, ...] = ()  # recorded `source/file` of each; without them, there is none

    @property
    def name(self) -> str:
        """Of its shards. It does not depend on the number of pieces where files have positions of their own."""
        return f"{self.positions[0]:014x}" if self.positions else f"{self.index:05d}-of-{self.count:05d}"


@dataclass(frozen=True)
class Batch:
    """Images with their labels; and (file, reason) of each that cannot be read.

    images: the pixels, uint8 [height, width, channels]; or an `Examined` each, if the contents are recorded.
    contents: the images as they were delivered; empty bytes each, if only the pixels are recorded.
    groups: images of one group stay in one split; images without a group, "", are drawn by their pixels.
    metadata: what else is known of the images, as text; "" for no value.
    """

    images: list[Any]
    labels: list[int]
    contents: list[bytes]
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)  # one each, or none at all
    metadata: list[tuple[str, ...]] = field(default_factory=list)  # the same: a value for each of `Reader.metadata`
    sources: list[tuple[int, str]] = field(default_factory=list)  # the same: `source/index` and `source/file`


def batches(images: "Iterable[tuple[np.ndarray, int, bytes]]") -> Iterator[Batch]:
    """Batches of (image, label, content), as `grouped` bounds them."""
    for group in grouped(images, lambda each: each[0].nbytes):
        yield Batch(*map(list, zip(*group, strict=True)))


def in_threads(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """`map` in threads. Results are in the order of the items, of which at most one more than threads is held."""
    with ThreadPoolExecutor(threads) as pool:
        pending = deque[Future[R]]()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def grouped(items: Iterable[T], size: Callable[[T], int], most: int = BATCH_BYTES) -> Iterator[list[T]]:
    """Groups of at most 1,000 items. A group ends with the item that reaches `most` bytes."""
    held: list[T] = []
    total = 0
    for item in items:
        held.append(item)
        total += size(item)
        if total >= most or len(held) == 1000:
            yield held
            held, total = [], 0
    if held:
        yield held


class PieceReader(Protocol):
    """Reads pieces. It is pickled to workers."""

    @property
    def names(self) -> tuple[str, str]:
        """(dataset, version), as recorded in every record."""

    @property
    def metadata(self) -> tuple[str, ...]:
        """Names of what else is known of each image, sorted."""

    @property
    def shares(self) -> dict[str, float]:
        """The share of each split but train, where a piece feeds several: of what the splits before it leave."""

    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        """The images of a piece, in order. `encoding`: how they are recorded."""


class Reader(PieceReader, Protocol):
    """A kind of source."""

    def prepare(self, log: Log) -> None:
        """Makes the data ready to be read.

        Raises:
            DataError: there is no such data, or it is of the wrong kind.
            EnvironmentFailure: the network or the disk failed.
        """

    @property
    def title(self) -> str:
        """The dataset with its version, for people."""

    def labels(self) -> tuple[str, ...]:
        """The names of the labels, in order: their numbers if they have no names; () for plain numbers."""

    def pieces(self) -> list[Piece]:
        """All images, in pieces.

        Raises:
            DataError: a split is missing, or splits share images.
        """

    @property
    def encoding(self) -> Encoding:
        """How images are recorded if no contract states it: raw only if the source states a small fixed size."""
