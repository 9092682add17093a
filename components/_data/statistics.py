"""Statistics of images as monoids: `Cls()` is neutral, `merge` is associative and commutative, exact in integers.

a, b = ImageStatistics.of(columns), ImageStatistics.of(others)
a.merge(b).pixels.mean
"""

import functools
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, Self, TypeVar

from etils import epy

from components._data import photos
from schemas.example import METADATA

with epy.lazy_imports():
    import numpy as np


BATCH_IMAGES = 64  # their temporary arrays take 16 bytes a pixel


class Monoid(Protocol):
    """Anything that merges."""

    def merge(self, other: Self) -> Self: ...


M = TypeVar("M", bound=Monoid)
BRIGHTNESS = ("images", "bytes", "sum", "squares")


@dataclass(frozen=True)
class Histogram:
    """Counts of each of the 256 pixel values in a set of images. Mean, variance and quantiles follow exactly."""

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
    """Everything that describe counts in the records of one split, except duplicates."""

    records: int = 0
    no_image: int = 0
    malformed: int = 0  # pixels do not fill height x width x channels
    constant: int = 0  # images with a single colour
    image_bytes: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int, int]] = field(default_factory=Counter)  # height, width, channels
    formats: Counter[str] = field(default_factory=Counter)  # of encoded images
    sources: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # dataset, version, split
    metadata: Counter[tuple[str, str]] = field(default_factory=Counter)  # column, value
    pixels: Histogram = Histogram()
    squares: Counter[int] = field(default_factory=Counter)  # by pixel value: squares of its counts in each image
    by_label: Counter[tuple[int, str]] = field(
        default_factory=Counter
    )  # images, bytes, sum and squares of images' sums
    photos: Counter[tuple[int, str, Any]] = field(default_factory=Counter)  # of `photos.counts`: label, measure, value

    @classmethod
    def of(cls, columns: dict[str, "np.ndarray"], decoded: "tuple[np.ndarray, np.ndarray] | None" = None) -> Self:
        """Of a batch as `schemas.shard_reader.parse` gives it.

        decoded: of encoded images, thumbnails uint8 [batch, height, width, channels] and EXIF orientations. Pixels are
        counted on thumbnails, so that each image counts as much as another, and time and memory do not depend on their
        sizes.
        """
        sides = np.stack([columns[f"image/{side}"] for side in ("height", "width", "channels")], axis=1)
        images = columns["image"].tolist()
        recorded = lengths = np.fromiter(map(len, images), np.int64, len(images))
        if decoded is None:
            joined = np.frombuffer(b"".join(images), np.uint8)
            malformed = int(((lengths != sides.prod(axis=1)) & (lengths > 0)).sum())
        else:
            joined, malformed = decoded[0].reshape(-1), 0
            lengths = np.full(len(images), decoded[0][0].size)
        sizes, counts = np.unique(sides, axis=0, return_counts=True)
        labels, label_counts = np.unique(columns["label"][columns["label"] >= 0], return_counts=True)
        pixels, squares = _pixels(joined, lengths)
        sources = zip(*(columns[f"source/{part}"].tolist() for part in ("dataset", "version", "split")), strict=True)
        return cls(
            records=len(images),
            no_image=int((recorded == 0).sum()),
            malformed=malformed,
            constant=_constant(joined, lengths),
            image_bytes=int(recorded.sum()),
            labels=Counter(dict(zip(labels.tolist(), label_counts.tolist(), strict=True))),
            sizes=Counter({tuple(size): count for size, count in zip(sizes.tolist(), counts.tolist(), strict=True)}),
            formats=Counter(form.decode() for form in columns["image/format"].tolist() if form),
            sources=Counter({tuple(part.decode() for part in source): n for source, n in Counter(sources).items()}),
            metadata=_metadata(columns),
            pixels=pixels,
            squares=squares,
            by_label=_by_label(joined, lengths, columns["label"]),
            photos=photos.counts(columns, *decoded) if decoded else Counter(),
        )

    def merge(self, other: Self) -> Self:
        return type(self)(**{f.name: _merged(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)})

    def brightness(self, label: int) -> tuple[float, float]:
        """(mean, standard deviation) over the images of a label of the mean of their pixels, for images of one size."""
        images, size, total, squares = (self.by_label[label, name] for name in BRIGHTNESS)
        if not size:
            return 0.0, 0.0
        mean = total / images
        return total / size, max(0.0, squares / images - mean * mean) ** 0.5 * images / size

    def to_json(self) -> str:
        """The same as text, to be merged later."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if not self.photos:  # the text of raw images is that of older versions
            del values["photos"]
        return json.dumps(
            {name: value.counts if isinstance(value, Histogram) else _pairs(value) for name, value in values.items()}
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        pixels = Histogram(tuple(values.pop("pixels")))
        counts: dict[str, Any] = {name: v if isinstance(v, int) else _counter(v) for name, v in values.items()}
        return cls(pixels=pixels, **counts)


def _metadata(columns: dict[str, "np.ndarray"]) -> Counter[tuple[str, str]]:
    names = [name for name in columns if name.startswith(METADATA)]
    values = (
        (name.removeprefix(METADATA), value.decode(errors="replace"))
        for name in names
        for value in columns[name].tolist()
    )
    return Counter(values)


def _pairs(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, Counter) else value  # JSON's keys are text only


def _counter(pairs: list[Any]) -> Counter[Any]:
    return Counter({tuple(key) if isinstance(key, list) else key: count for key, count in pairs})


def _merged(a: Any, b: Any) -> Any:
    return a.merge(b) if isinstance(a, Histogram) else a + b


def _constant(joined: "np.ndarray", lengths: "np.ndarray") -> int:
    """The number of images with a single pixel value."""
    filled = lengths[lengths > 0]
    if not len(filled):
        return 0
    starts = np.concatenate([[0], np.cumsum(filled)[:-1]])
    return int((np.minimum.reduceat(joined, starts) == np.maximum.reduceat(joined, starts)).sum())


def _pixels(joined: "np.ndarray", lengths: "np.ndarray") -> tuple[Histogram, Counter[int]]:
    """The histogram of all pixels; and by pixel value, the sum over images of the square of its count.

    The squares state how much images differ from each other.
    """
    total, squares = np.zeros(256, np.int64), np.zeros(256, np.int64)
    ends = np.cumsum(lengths)
    for first in range(0, len(lengths), BATCH_IMAGES):
        part = slice(first, first + BATCH_IMAGES)
        pixels = joined[ends[first] - lengths[first] : ends[part][-1]]
        image = np.repeat(np.arange(0, 256 * len(lengths[part]), 256), lengths[part])
        counts = np.bincount(image + pixels, minlength=256 * len(lengths[part])).reshape(-1, 256)
        total += counts.sum(0)
        squares += (counts * counts).sum(0)
    by_value = Counter({value: count for value, count in enumerate(squares.tolist()) if count})
    return Histogram(tuple(total.tolist())), by_value


def _by_label(joined: "np.ndarray", lengths: "np.ndarray", labels: "np.ndarray") -> Counter[tuple[int, str]]:
    """Integer sums from which the brightness of each label is computed."""
    counted = (lengths > 0) & (labels >= 0)
    if not counted.any():
        return Counter()
    filled = lengths > 0
    starts = np.concatenate([[0], np.cumsum(lengths[filled])[:-1]])
    sums = np.add.reduceat(joined, starts, dtype=np.int64)[labels[filled] >= 0]
    order = np.argsort(labels[counted], kind="stable")
    unique, first = np.unique(labels[counted][order], return_index=True)
    columns = (np.ones_like(sums), lengths[counted], sums, sums * sums)
    totals = [np.add.reduceat(column[order], first).tolist() for column in columns]
    return Counter(
        {
            (label, name): n
            for name, total in zip(BRIGHTNESS, totals, strict=True)
            for label, n in zip(unique.tolist(), total, strict=True)
        }
    )


def merged(kind: type[M], parts: Iterable[M]) -> M:
    """All parts as one. `functools.partial(merged, Kind)` is what Beam takes as a combiner.

    Parts are merged with others of their size, so counters that grow with the parts are not copied for each of them.
    """
    stack: list[tuple[int, M]] = []  # (number of merges behind it, result), the largest first
    for part in parts:
        merges = 0
        while stack and stack[-1][0] == merges:
            part = stack.pop()[1].merge(part)  # noqa: PLW2901
            merges += 1
        stack.append((merges, part))
    return functools.reduce(lambda a, b: b.merge(a), (part for _, part in reversed(stack)), kind())
