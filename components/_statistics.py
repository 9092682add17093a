"""Statistics of images as monoids: `Cls()` is neutral, `merge` is associative and commutative, exact in integers.

a, b = ImageStatistics.of(columns), ImageStatistics.of(others)
a.merge(b).pixels.mean
"""

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, Self, TypeVar

from etils import epy

with epy.lazy_imports():
    import numpy as np


class Monoid(Protocol):
    """Anything that merges."""

    def merge(self, other: Self) -> Self: ...


M = TypeVar("M", bound=Monoid)


@dataclass(frozen=True)
class Histogram:
    """How often each of the 256 pixel values stands in a set of images. Mean, variance and quantiles follow exactly."""

    counts: tuple[int, ...] = (0,) * 256

    @classmethod
    def of(cls, pixels: "np.ndarray") -> Self:
        """Of uint8 pixels in any shape."""
        return cls(tuple(np.bincount(pixels.reshape(-1), minlength=256).tolist()))

    def merge(self, other: Self) -> Self:
        return type(self)(tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        return sum(value * count for value, count in enumerate(self.counts)) / self.total if self.total else 0.0

    @property
    def std(self) -> float:
        if not self.total:
            return 0.0
        square = sum(value * value * count for value, count in enumerate(self.counts)) / self.total
        return float(max(0.0, square - self.mean**2) ** 0.5)

    def quantile(self, q: float) -> int:
        """The smallest value that at least a share q of the pixels do not exceed."""
        below = 0
        for value, count in enumerate(self.counts):
            below += count
            if below and below >= q * self.total:
                return value
        return 0


@dataclass(frozen=True)
class ImageStatistics:
    """Everything that describe counts in the records of one split, but for duplicates."""

    records: int = 0
    no_image: int = 0
    malformed: int = 0  # pixels do not fill height x width x channels
    constant: int = 0  # one colour all over
    image_bytes: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int, int]] = field(default_factory=Counter)  # height, width, channels
    sources: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # data set, version, split
    pixels: Histogram = Histogram()

    @classmethod
    def of(cls, columns: dict[str, "np.ndarray"]) -> Self:
        """Of a batch as `schemas.example.parse` gives it."""
        sides = np.stack([columns[f"image/{side}"] for side in ("height", "width", "channels")], axis=1)
        images = columns["image"].tolist()
        lengths = np.fromiter(map(len, images), np.int64, len(images))
        joined = np.frombuffer(b"".join(images), np.uint8)
        sizes, counts = np.unique(sides, axis=0, return_counts=True)
        labels, label_counts = np.unique(columns["label"][columns["label"] >= 0], return_counts=True)
        sources = zip(*(columns[f"source/{part}"].tolist() for part in ("dataset", "version", "split")), strict=True)
        return cls(
            records=len(images),
            no_image=int((lengths == 0).sum()),
            malformed=int(((lengths != sides.prod(axis=1)) & (lengths > 0)).sum()),
            constant=_constant(joined, lengths),
            image_bytes=int(lengths.sum()),
            labels=Counter(dict(zip(labels.tolist(), label_counts.tolist(), strict=True))),
            sizes=Counter({tuple(size): count for size, count in zip(sizes.tolist(), counts.tolist(), strict=True)}),
            sources=Counter({tuple(part.decode() for part in source): n for source, n in Counter(sources).items()}),
            pixels=Histogram.of(joined),
        )

    def merge(self, other: Self) -> Self:
        return type(self)(**{f.name: _merged(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)})


def _merged(a: Any, b: Any) -> Any:
    return a.merge(b) if isinstance(a, Histogram) else a + b


def _constant(joined: "np.ndarray", lengths: "np.ndarray") -> int:
    """How many images hold a single value."""
    filled = lengths[lengths > 0]
    if not len(filled):
        return 0
    starts = np.concatenate([[0], np.cumsum(filled)[:-1]])
    return int((np.minimum.reduceat(joined, starts) == np.maximum.reduceat(joined, starts)).sum())


@dataclass(frozen=True)
class Duplicates:
    """Images that stand more than once, within a split and across each pair of splits."""

    within: Counter[str] = field(default_factory=Counter)  # split: images beyond the first of their kind
    across: Counter[tuple[str, str]] = field(default_factory=Counter)  # (split, other): images of split that stand in other
    leaked: frozenset[int] = frozenset()  # positions of test images that stand in another split

    @classmethod
    def of(cls, digests: Iterable[tuple[bytes, str, int]]) -> Self:
        """Of (digest, split, position) of images; all copies of an image must be in the same call."""
        copies: dict[bytes, Counter[str]] = {}
        tested: dict[bytes, list[int]] = {}
        for digest, split, index in digests:
            copies.setdefault(digest, Counter())[split] += 1
            if split == "test":
                tested.setdefault(digest, []).append(index)
        within: Counter[str] = Counter()
        across: Counter[tuple[str, str]] = Counter()
        for counts in copies.values():
            for split, count in counts.items():
                if count > 1:
                    within[split] += count - 1
                for other in counts:
                    if other != split:
                        across[split, other] += count
        leaked = frozenset(index for digest, indices in tested.items() if len(copies[digest]) > 1 for index in indices)
        return cls(within, across, leaked)

    def merge(self, other: Self) -> Self:
        return type(self)(self.within + other.within, self.across + other.across, self.leaked | other.leaked)


def merged(kind: type[M], parts: Iterable[M]) -> M:
    """All parts as one. `functools.partial(merged, Kind)` is what Beam takes as a combiner."""
    return functools.reduce(lambda a, b: a.merge(b), parts, kind())
