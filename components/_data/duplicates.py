"""Images that stand more than once: found by digests, so that splits described at different times can be compared.

Each shard's digests lie beside it in a file, in order of digest; a monoid counts what they have in common.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from etils import epy

from components._data.statistics import merged

with epy.lazy_imports():
    import numpy as np

BUCKET = 1_000_000  # digests held at a time: memory does not grow with the data
TESTED = ("test", "fresh")  # splits that nothing may have learnt from


@dataclass(frozen=True)
class Duplicates:
    """Images that stand more than once, within a split and across each pair of splits."""

    within: Counter[str] = field(default_factory=Counter)  # split: images beyond the first of their kind
    across: Counter[tuple[str, str]] = field(
        default_factory=Counter
    )  # (split, other): images of split that stand in other
    leaked: frozenset[tuple[str, int]] = (
        frozenset()
    )  # (split, position) of tested images that stand in a split that is learnt from

    @classmethod
    def of(cls, digests: Iterable[tuple[bytes, str, int]]) -> Self:
        """Of (digest, split, position) of images; all copies of an image must be in the same call."""
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


def digests(images: Iterable[bytes], positions: "np.ndarray") -> "np.ndarray":
    """uint64 [images, 3]: 128 bits of each image (BLAKE2b), and its position."""
    found = np.frombuffer(
        b"".join([hashlib.blake2b(image, digest_size=16).digest() for image in images]), ">u8"
    ).reshape(-1, 2)
    return np.column_stack([found.astype(np.uint64), positions.astype(np.uint64)])


def leave(rows: "np.ndarray", path: Path) -> None:
    """A file of `digests`, in their order."""
    np.save(path, rows[np.lexsort(rows.T[::-1])])


def duplicates(parts: Mapping[str, Iterable[Path]], bucket: int = BUCKET) -> Duplicates:
    """Of the digests that lie in files, by split, about `bucket` of them at a time."""
    opened = [(split, np.load(path, mmap_mode="r")) for split, paths in parts.items() for path in paths]
    buckets = -(-sum(map(len, (rows for _, rows in opened))) // bucket) or 1
    edges = [*(i * 2**64 // buckets for i in range(buckets)), None]
    return merged(Duplicates, (Duplicates.of(_copies(opened, low, high)) for low, high in pairwise(edges)))


def _copies(opened: list[tuple[str, Any]], low: int | None, high: int | None) -> Iterator[tuple[bytes, str, int]]:
    """(digest, split, position) of all images between two digests that stand more than once."""
    parts, owners = [np.empty((0, 3), np.uint64)], [np.empty(0, int)]
    for owner, (_, rows) in enumerate(opened):
        first, last = (
            len(rows) if edge is None else int(np.searchsorted(rows[:, 0], np.uint64(edge))) for edge in (low, high)
        )
        parts.append(np.asarray(rows[first:last]))
        owners.append(np.full(last - first, owner))
    rows, owner = np.concatenate(parts), np.concatenate(owners)
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    rows, owner = rows[order], owner[order]
    same = (rows[1:, :2] == rows[:-1, :2]).all(axis=1)
    for i in np.flatnonzero(np.append(same, False) | np.insert(same, 0, False)).tolist():
        yield rows[i, :2].tobytes(), opened[owner[i]][0], int(rows[i, 2].astype(np.int64))
