"""Features of a `tensorflow_metadata` proto of statistics, from counts of their values.

categorical(dataset, "label", {0: 3, 1: 5}, records=9)
numeric(dataset, "image/contrast", {57: 2, 60: 1}, records=9)
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from etils import epy

with epy.lazy_imports():
    from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

QUANTILES = 10
BUCKETS = 10


def categorical(
    dataset: Any, name: str, counts: Mapping[Any, int], records: int, kind: Any = None, most: int | None = None
) -> Any:
    """Adds a feature with counts of each value, or of the `most` frequent ones; `unique` counts all."""
    stats = dataset.features.add(type=pb.FeatureNameStatistics.INT if kind is None else kind)
    stats.path.step.append(name)
    common(stats.string_stats.common_stats, records, records - sum(counts.values()))
    stats.string_stats.unique = len(counts)
    frequent = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
    rank(stats.string_stats.rank_histogram, dict(frequent))
    return stats


def numeric(dataset: Any, name: str, counts: Mapping[float, int], records: int) -> Any:
    """Adds a feature with moments, median, deciles, and a histogram of equal widths."""
    stats = dataset.features.add(type=pb.FeatureNameStatistics.FLOAT)
    stats.path.step.append(name)
    numbers, total = stats.num_stats, sum(counts.values())
    common(numbers.common_stats, records, records - total)
    numbers.mean = sum(value * count for value, count in sorted(counts.items())) / total
    squares = sum((value - numbers.mean) ** 2 * count for value, count in sorted(counts.items()))
    numbers.std_dev, numbers.num_zeros = (squares / total) ** 0.5, counts.get(0, 0)
    numbers.min, numbers.max, numbers.median = min(counts), max(counts), quantile(counts, 0.5)
    quantiles(numbers.histograms.add(), counts)
    _equal_widths(numbers.histograms.add(), counts)
    return stats


def common(statistics: Any, records: int, missing: int) -> None:
    statistics.num_non_missing, statistics.num_missing = records - missing, missing
    statistics.min_num_values = statistics.max_num_values = 1
    statistics.avg_num_values = 1
    statistics.tot_num_values = records - missing


def rank(histogram: Any, counts: Mapping[Any, int]) -> None:
    """Counts by value, in the order of the values."""
    for value, count in sorted(counts.items()):
        histogram.buckets.add(label=str(value), sample_count=count)


def quantiles(histogram: Any, counts: Mapping[float, int]) -> None:
    """The deciles."""
    histogram.type = pb.Histogram.QUANTILES
    edges = [quantile(counts, i / QUANTILES) for i in range(QUANTILES + 1)]
    for low, high in pairwise(edges):
        histogram.buckets.add(low_value=low, high_value=high, sample_count=sum(counts.values()) / QUANTILES)


def quantile(counts: Mapping[float, int], q: float) -> float:
    """The smallest value that at least a share q of all values do not exceed."""
    below, total = 0, sum(counts.values())
    for value, count in sorted(counts.items()):
        below += count
        if below >= q * total:
            return value
    return 0.0


def _equal_widths(histogram: Any, counts: Mapping[float, int]) -> None:
    low, high = min(counts), max(counts)
    width = (high - low) / BUCKETS
    totals = [0] * BUCKETS
    for value, count in counts.items():
        totals[min(BUCKETS - 1, int((value - low) / width)) if width else 0] += count
    for i, total in enumerate(totals):
        histogram.buckets.add(low_value=low + i * width, high_value=low + (i + 1) * width, sample_count=total)
