"""Distances between two sets of images, each with the part that chance explains.

difference, chance = divergence(test, train)            # of pixel values
apart = largest_difference(labels, other_labels, 0.03)  # of label shares
apart.over                                              # beyond both the limit and chance

A random split of one set exceeds chance at most once in 1,000 draws, however many labels there are.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from etils import epy

from schemas import statistics as stats

with epy.lazy_imports():
    import numpy as np
    import scipy.special
    from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

LEVEL = 0.001  # probability that a random split of one set exceeds chance
CHI_SQUARED = 10.83  # 0.999 quantile with one degree of freedom
FEWEST = 30  # images of a label from which its standard deviation is estimated


@dataclass(frozen=True)
class Difference:
    """The label that differs most, by how much, and the largest difference that chance explains."""

    label: str = ""
    value: float = 0.0
    chance: float = 0.0
    limit: float = 0.0

    @property
    def excess(self) -> float:
        return self.value - max(self.limit, self.chance)

    @property
    def over(self) -> bool:
        return self.excess > 0


def jensen_shannon(one: list[float], other: list[float]) -> float:
    """Divergence of two histograms in bits, in [0, 1] (Lin, 1991)."""
    p, q = (np.asarray(h, float) / max(sum(h), 1) for h in (one, other))
    middle = (p + q) / 2

    def kullback_leibler(a: Any) -> float:
        held = a > 0
        return float((a[held] * np.log2(a[held] / middle[held])).sum())

    return (kullback_leibler(p) + kullback_leibler(q)) / 2


def divergence(one: "pb.DatasetFeatureStatistics", other: "pb.DatasetFeatureStatistics") -> tuple[float, float]:
    """The Jensen-Shannon divergence of two splits' pixel values, and the part that is noise.

    Images are the independent draws, not pixels: how much they differ among themselves gives the variance v of each
    value's share p. For small differences, the divergence is a sum of squares whose mean under equal distributions is
    sum(v / p) (1/n + 1/m) / (8 ln 2). The largest 0.999 quantile of any such sum is that of one squared normal
    variable, 10.83 times its mean.
    """
    shares = np.asarray(stats.pixels(one)) + np.asarray(stats.pixels(other))
    shares = shares / max(shares.sum(), 1)
    sizes = [max(dataset.num_examples, 1) for dataset in (one, other)]
    weights = np.array([sizes]).T / sum(sizes)
    variances = (weights * np.array([stats.pixel_variances(dataset) for dataset in (one, other)])).sum(0)
    held = shares > 0
    mean = (variances[held] / shares[held]).sum() * (1 / sizes[0] + 1 / sizes[1]) / (8 * math.log(2))
    return jensen_shannon(stats.pixels(one), stats.pixels(other)), float(CHI_SQUARED * mean)


def largest_difference(one: dict[str, int], other: dict[str, int], limit: float) -> Difference:
    """The label whose share differs most beyond the limit and chance.

    If one set is split at random, the number of images of a label in a part is hypergeometric. Of all labels together,
    none exceeds the tails' quantiles but once in 1,000 draws (Bonferroni).
    """
    labels = sorted(one.keys() | other.keys())
    if not labels:
        return Difference(limit=limit)
    counts = np.array([[each.get(label, 0) for label in labels] for each in (one, other)])
    sizes = np.maximum(counts.sum(1), 1)
    values = np.abs(counts[0] / sizes[0] - counts[1] / sizes[1])
    # Chance is costly, and matters only for the labels beyond the limit, which are few: shares add up to 1.
    chosen = np.flatnonzero(values > limit).tolist() or [int(values.argmax())]
    differences = (
        Difference(labels[i], float(values[i]), chance(counts[:, i].tolist(), sizes.tolist(), len(labels)), limit)
        for i in chosen
    )
    return max(differences, key=lambda each: each.excess)


def chance(counts: list[int], sizes: list[int], labels: int) -> float:
    """The largest difference of shares that is not significant, in the direction of these counts of two sets."""
    (n, m), total = sizes, sum(counts)
    if counts[0] * m < counts[1] * n:
        n, m = m, n
    mean, variance = n * total / (n + m), total * (n / (n + m)) * (m / (n + m))
    low, high = math.ceil(mean), min(total, n, math.ceil(mean + 40 * variance**0.5 + 40))  # beyond: less than 1e-300
    k = np.arange(max(low, total - m), high + 1)
    tails = np.exp(_log_choose(n, k) + _log_choose(m, total - k) - _log_choose(n + m, total))[::-1].cumsum()[::-1]
    largest = int(k[tails > LEVEL / (2 * labels)].max(initial=low - 1))
    return max(0.0, largest / n - (total - largest) / m)


def _log_choose(n: Any, k: Any) -> Any:
    log_factorial = scipy.special.gammaln
    return log_factorial(n + 1) - log_factorial(k + 1) - log_factorial(n - k + 1)


def brightness_shift(new: Any, reference: Any, limit: float) -> Difference | None:
    """The label whose brightness is shifted most beyond the limit and chance, in standard deviations (Cohen's d, 1988).

    The deviation is that of both sets, because that of a few images is often too small. Chance is Bernstein's bound for
    values with tails no heavier than exponential ones, of all labels together. Labels of fewer than 30 images of the
    reference are left out.
    """
    shifts = list(_shifts(new, reference))
    rows = (
        Difference(label, shift, _mean_chance(1 / (1 / n + 1 / m), len(shifts)), limit) for label, shift, n, m in shifts
    )
    return max(rows, key=lambda each: each.excess, default=None)


def _shifts(new: Any, reference: Any) -> Iterator[tuple[str, float, int, int]]:
    """Label, shift of its mean brightness in standard deviations, images in both."""
    before = stats.brightness(reference)
    counts, known = (stats.values(each, "label") for each in (new, reference))
    for label, (mean, deviation) in stats.brightness(new).items():
        if label in before and known[label] >= FEWEST:
            n, m, (mean_before, deviation_before) = counts[label], known[label], before[label]
            pooled = math.sqrt((n * deviation**2 + m * deviation_before**2) / (n + m))
            if pooled:
                yield label, abs(mean - mean_before) / pooled, n, m


def _mean_chance(images: float, labels: int) -> float:
    level = math.log(2 * labels / LEVEL)
    return math.sqrt(2 * level / images) + level / images
