"""Duplicate images, found by digests, so that splits described at different times can be compared.

The digests of each shard are in a file beside it, sorted; a monoid counts the duplicates.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Self

from etils import epy

from components._data.statistics import merged

with epy.lazy_imports():
    import numpy as np

BUCKET = 1_000_000  # digests in memory at a time
TESTED = ("test", "fresh")  # splits that no model may be trained on


@dataclass(frozen=True)
class Duplicates:
    """Duplicate images within a split and across each pair of splits.

    within: by split, the copies beyond the first. across: by (split, other), the images of split that are in other too.
    leaked: (split, position) of test images that are in a split used for training.
    """

    within: Counter[str] = field(default_factory=Counter)
    across: Counter[tuple[str, str]] = field(default_factory=Counter)
    leaked: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def of(cls, digests: Iterable[tuple[bytes, str, int]]) -> Self:
        """Counts (digest, split, position) of images. All copies of an image must be in the same call."""
        copies: dict[bytes, Counter[str]] = {}
        tested: dict[bytes, list[tuple[str, int]]] = {}
        for digest, split, index in digests:
            copies.setdefault(digest, Counter())[split] += 1
            if split in TESTED:
                tested.setdefault(digest, []).append((split, index))
        within: Counter[str] = Counter()
        across: Counter[tuple[str, str]] = Counter()
        for counts in copies.values():
            for split, count in counts.items():
                if count > 1:
                    within[split] += count - 1
                for other in counts:
                    if other != split:
                        across[split, other] += count
        leaked = frozenset(
            each for digest, found in tested.items() if copies[digest].keys() - {*TESTED} for each in found
        )
        return cls(within, across, leaked)

    def merge(self, other: Self) -> Self:
        return type(self)(self.within + other.within, self.across + other.across, self.leaked | other.leaked)


def leaked(pairs: Iterable[tuple[str, int, str, int]]) -> frozenset[tuple[str, int]]:
    """(split, position) of the tested images among pairs of copies whose other image is trained on."""
    both = [((one, i), (other, j)) for one, i, other, j in pairs]
    ways = [*both, *((other, one) for one, other in both)]
    return frozenset(one for one, other in ways if one[0] in TESTED and other[0] not in TESTED)


def digests(images: Iterable[bytes], positions: "np.ndarray") -> "np.ndarray":
    """uint64 [images, 3]: 128 bits of each image's BLAKE2b digest, and its position."""
    raw = b"".join([hashlib.blake2b(image, digest_size=16).digest() for image in images])
    values = np.frombuffer(raw, ">u8").reshape(-1, 2)
    return np.column_stack([values.astype(np.uint64), positions.astype(np.uint64)])


def save(rows: "np.ndarray", path: Path) -> None:
    """Writes `digests`, sorted."""
    np.save(path, rows[np.lexsort(rows.T[::-1])])


def duplicates(parts: Mapping[str, Iterable[Path]], bucket: int = BUCKET) -> Duplicates:
    """Duplicates among the digests in files, by split. Reads about `bucket` digests at a time, one file at a time."""
    files = [(split, path) for split, paths in parts.items() for path in paths]
    buckets = -(-sum(len(_opened(path)) for _, path in files) // bucket) or 1
    edges = [*(i * 2**64 // buckets for i in range(buckets)), None]
    return merged(Duplicates, (Duplicates.of(_copies(files, low, high)) for low, high in pairwise(edges)))


def _opened(path: Path) -> "np.ndarray":
    # The array keeps its file open until it is deleted, and there may be more files than descriptors.
    return np.load(path, mmap_mode="r")


def _copies(files: list[tuple[str, Path]], low: int | None, high: int | None) -> Iterator[tuple[bytes, str, int]]:
    """(digest, split, position) of all duplicate images between two digests."""
    read = [np.empty((0, 3), np.uint64), *(_between(_opened(path), low, high) for _, path in files)]
    rows = np.concatenate(read)
    owner = np.repeat(np.arange(len(files)), [len(each) for each in read[1:]])
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    rows, owner = rows[order], owner[order]
    same = (rows[1:, :2] == rows[:-1, :2]).all(axis=1)
    for i in np.flatnonzero(np.append(same, False) | np.insert(same, 0, False)).tolist():
        yield rows[i, :2].tobytes(), files[owner[i]][0], int(rows[i, 2].astype(np.int64))


def _between(rows: "np.ndarray", low: int | None, high: int | None) -> "np.ndarray":
    """A copy of the rows between two digests."""
    first, last = (
        len(rows) if edge is None else int(np.searchsorted(rows[:, 0], np.uint64(edge))) for edge in (low, high)
    )
    return np.array(rows[first:last])
