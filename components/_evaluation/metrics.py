"""Metrics of a classifier from sums that merge: one confusion matrix, losses, and calibration bins.

both = Sums.of(labels, probabilities, classes) + Sums.of(others, ...)     # the sums of both sets
both.metrics()["expected_calibration_error"]
both.metrics({"accuracy_upper_bound": 0.95})
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from etils import epy

from schemas.gates import upper_bound

with epy.lazy_imports():
    import numpy as np

EXAMPLE_COUNT, ACCURACY, LOSS = "example_count", "accuracy", "loss"
BRIER, ECE, UPPER = "brier_score", "expected_calibration_error", "accuracy_upper_bound"
UPPER_CLASS = "AccuracyUpperBound"  # in `tfma_metrics`
EPSILON = 1e-7  # Keras clips probabilities there
BINS = 15  # of equal width, as in Guo et al. 2017


@dataclass(frozen=True)
class Sums:
    """Sums over examples. Cells of the confusion matrix are sparse: of 1,000 classes, few pairs occur."""

    losses: "np.ndarray"  # float64 [2]: sums of losses and of Brier scores
    bins: "np.ndarray"  # float64 [3, BINS], by confidence: count, sum of confidences, correct predictions
    cells: "np.ndarray"  # int64 [n], ascending: label * classes + prediction, of all cells that are not 0
    counts: "np.ndarray"  # int64 [n]: the examples in each cell

    @classmethod
    def empty(cls) -> Self:
        return cls(np.zeros(2), np.zeros((3, BINS)), np.zeros(0, np.int64), np.zeros(0, np.int64))

    @classmethod
    def of(cls, labels: "np.ndarray", probabilities: "np.ndarray", classes: int) -> Self:
        """Of labels, int64 [n], and probabilities [n, classes].

        The loss is Keras's categorical cross-entropy. Brier: squared distance to the one-hot label, 0 to 2 (Brier
        1950).
        """
        p = probabilities.astype(np.float64)
        rows, known = np.arange(len(p)), np.clip(labels, 0, classes - 1)
        not_finite = ~np.isfinite(p).all(1)
        p[not_finite] = np.nan  # all metrics of such a model are NaN, and its prediction is wrong
        predicted = np.where(not_finite, (known + 1) % classes, np.nan_to_num(p).argmax(1))
        clipped = np.clip(p, EPSILON, 1 - EPSILON)
        loss = np.log(clipped.sum(1)) - np.log(clipped[rows, known])
        brier = (p * p).sum(1) - 2 * p[rows, known] + 1
        confidence, correct = p[rows, predicted], predicted == known
        bin_ = np.minimum(np.nan_to_num(confidence) * BINS, BINS - 1).astype(int)
        by_bin = [np.bincount(bin_, weights, BINS) for weights in (None, confidence, correct)]
        cells, counts = np.unique(known * classes + predicted, return_counts=True)
        return cls(np.array([loss.sum(), brier.sum()]), np.stack(by_bin).astype(np.float64), cells, counts)

    def __add__(self, other: Self) -> Self:
        return self.merged([self, other])

    @classmethod
    def merged(cls, every: Iterable[Self]) -> Self:
        """The sums of several sets."""
        parts = list(every)
        cells, places = np.unique(np.concatenate([part.cells for part in parts]), return_inverse=True)
        counts = np.zeros(len(cells), np.int64)
        np.add.at(counts, places, np.concatenate([part.counts for part in parts]))
        losses = np.sum([part.losses for part in parts], 0)
        return cls(losses, np.sum([part.bins for part in parts], 0), cells, counts)

    def metrics(self, bounds: Mapping[str, float] | None = None, min_examples: int = 1) -> dict[str, float]:
        """Metrics by name. `bounds`: upper bounds of accuracy, each with its confidence; 1 below `min_examples`."""
        count, correct, (loss, brier) = self.bins[0].sum(), self.bins[2].sum(), self.losses
        return {
            EXAMPLE_COUNT: float(count),
            ACCURACY: float(correct / count),
            LOSS: float(loss / count),
            BRIER: float(brier / count),
            ECE: float(np.abs(self.bins[1] - self.bins[2]).sum() / count),
        } | {
            name: upper_bound(int(correct), int(count), confidence) if count >= min_examples else 1.0
            for name, confidence in (bounds or {}).items()
        }

    def confusion(self, classes: int) -> Iterable[tuple[int, int, int]]:
        """(label, prediction, examples) of each cell of the confusion matrix that is not 0."""
        labels, predictions = np.divmod(self.cells, classes)
        return zip(labels.tolist(), predictions.tolist(), self.counts.tolist(), strict=True)


def upper_name(family: int) -> str:
    """The name of the upper bound that holds for so many slices at once."""
    return UPPER if family == 1 else f"{UPPER}_of_{family}"


def bounds_in(config: Any) -> dict[str, float]:
    """The confidence of each upper bound of accuracy that an EvalConfig asks for, by its name."""
    settings = (
        json.loads(metric.config)
        for spec in config.metrics_specs
        for metric in spec.metrics
        if metric.class_name == UPPER_CLASS
    )
    return {each["name"]: each["confidence"] for each in settings}
