"""Metrics of a classifier from sums that merge: one confusion matrix, losses, and calibration bins.

row = sums(labels, probabilities, classes) + sums(others, ...)     # the sums of both sets
figures(row, classes)["expected_calibration_error"]
"""

from etils import epy

from components._evaluation import paired

with epy.lazy_imports():
    import numpy as np

EXAMPLE_COUNT, ACCURACY, LOSS = "example_count", "accuracy", "loss"
BRIER, ECE, UPPER = "brier_score", "expected_calibration_error", "accuracy_upper_bound"
EPSILON = 1e-7  # Keras clips probabilities there
BINS = 15  # of equal width, as in Guo et al. 2017


def sums(labels: "np.ndarray", probabilities: "np.ndarray", classes: int) -> "np.ndarray":
    """float64 [classes**2 + 2 + 3 * BINS]: the flattened confusion matrix, row = label; the sums of losses and of Brier
    scores; for each bin of confidence the count, the sum of confidences, and the number of correct predictions.

    The loss is Keras's categorical cross-entropy. Brier: squared distance to the one-hot label, 0 to 2 (Brier 1950).
    """
    p = probabilities.astype(np.float64)
    rows, known = np.arange(len(p)), np.clip(labels, 0, classes - 1)
    odd = ~np.isfinite(p).all(1)
    p[odd] = np.nan  # all metrics of such a model are NaN, and its prediction is wrong
    predicted = np.where(odd, (known + 1) % classes, np.nan_to_num(p).argmax(1))
    clipped = np.clip(p, EPSILON, 1 - EPSILON)
    loss = np.log(clipped.sum(1)) - np.log(clipped[rows, known])
    brier = (p * p).sum(1) - 2 * p[rows, known] + 1
    confusion = np.bincount(known * classes + predicted, minlength=classes**2)
    confidence, right = p[rows, predicted], predicted == known
    bin_ = np.minimum(np.nan_to_num(confidence) * BINS, BINS - 1).astype(int)
    by_bin = [np.bincount(bin_, weights, BINS) for weights in (None, confidence, right)]
    return np.concatenate([confusion, [loss.sum(), brier.sum()], *by_bin]).astype(np.float64)


def size(classes: int) -> int:
    """The length of a row of sums."""
    return classes**2 + 2 + 3 * BINS


def figures(row: "np.ndarray", classes: int, confidence: float = 0.95, min_examples: int = 1) -> dict[str, float]:
    """Metrics by name. The upper bound of accuracy is one-sided, and 1 where there are fewer than `min_examples`."""
    matrix, (loss, brier) = confusion(row, classes), row[classes**2 : classes**2 + 2]
    count, correct = matrix.sum(), np.trace(matrix)
    _, confident, right = bins(row, classes)
    return {
        EXAMPLE_COUNT: float(count),
        ACCURACY: float(correct / count),
        LOSS: float(loss / count),
        BRIER: float(brier / count),
        ECE: float(np.abs(confident - right).sum() / count),
        UPPER: paired.upper_bound(int(correct), int(count), confidence) if count >= min_examples else 1.0,
    }


def confusion(row: "np.ndarray", classes: int) -> "np.ndarray":
    """[classes, classes], row = label."""
    matrix: np.ndarray = row[: classes**2].reshape(classes, classes)
    return matrix


def bins(row: "np.ndarray", classes: int) -> "np.ndarray":
    """[3, BINS]: count, sum of confidences, correct predictions."""
    bins: np.ndarray = row[classes**2 + 2 :].reshape(3, BINS)
    return bins
