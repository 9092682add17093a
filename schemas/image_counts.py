"""The number of test images of each value of each feature, from their statistics.

counts = ImageCounts.of(statistics.by_split(), len(statistics.leaked()))
counts.complete["label"]        # {"0": 980, "1": 1135, ...}
counts.judgeable(30)["label"]   # 10
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas import statistics as stats
from schemas.example import METADATA

NO_VALUE = "no value"  # the slice of images for which a column of a table is empty


@dataclass(frozen=True)
class ImageCounts:
    """The number of test images, in all and of each value of each feature. Measures of the pixels are not counted."""

    images: int
    leaked: int = 0  # of them, those that are also in a split used for training, which metrics exclude
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # by feature, by value
    partial: frozenset[str] = frozenset()  # features of which only the most common values are known
    fresh: int | None = None  # images of the newest span that are held out; None if there are none

    @classmethod
    def of(cls, splits: Mapping[str, Any], leaked: int) -> "ImageCounts":
        """The counts from the statistics of all splits. `leaked`: the number of leaked test images."""
        test, fresh, values, partial = splits["test"], splits.get("fresh"), {}, set()
        for feature in test.features:
            if feature.WhichOneof("stats") != "string_stats":
                continue
            (path,) = feature.path.step
            name, counts = path.removeprefix(METADATA), stats.values(test, path)
            values[name] = _by_slice(counts, test.num_examples) if path != name else counts
            if len(counts) < feature.string_stats.unique:
                partial.add(name)
        return cls(test.num_examples, leaked, values, frozenset(partial), fresh.num_examples if fresh else None)

    @property
    def complete(self) -> dict[str, Mapping[str, int]]:
        """The counts of the features of which every value is known."""
        return {name: counts for name, counts in self.values.items() if name not in self.partial}

    def judgeable(self, min_examples: int) -> dict[str, int]:
        """By feature: the number of its values with at least so many images."""
        return {name: sum(n >= min_examples for n in counts.values()) for name, counts in self.values.items()}

    def usable(self, count: int) -> int:
        """Of so many images, about as many as metrics include: statistics do not say of which slice leaked images are.

        At least one, because no slice should be called empty that may not be.
        """
        return max(min(count, 1), count - round(count * self.leaked / max(1, self.images)))


def slice_value(text: str) -> str:
    """A value of a column in the name of a slice, where a comma with a space separates features."""
    return " ".join(text.split()).replace(", ", " ") or NO_VALUE


def _by_slice(counts: Mapping[str, int], images: int) -> dict[str, int]:
    """Counts of a column by the names of slices. Images without a value are a slice, too."""
    by_name: dict[str, int] = {}
    for value, count in [*counts.items(), ("", images - sum(counts.values()))]:
        if count:
            by_name[slice_value(value)] = by_name.get(slice_value(value), 0) + count
    return by_name
