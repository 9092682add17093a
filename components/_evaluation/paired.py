"""Two models on the same test images: a test, an interval and a verdict. And intervals of one model's accuracy.

comparison = compare(candidate == labels, served == labels, margin=0.004, alpha=0.05)
comparison.verdict, comparison.interval   # "equivalent", (-0.0019, 0.0023)
comparison.message("version 3")           # a sentence
interval(correct=941, count=1000)         # (0.925, 0.954)
"""

import math
from statistics import NormalDist

from etils import epy

from schemas.artifacts.comparison import PairedTest, Verdict

with epy.lazy_imports():
    import numpy as np
    import scipy.special

MAX_EXAMPLES = 10**9  # beyond it, "more test images" is no advice


def compare(candidate: "np.ndarray", other: "np.ndarray", *, margin: float, alpha: float) -> PairedTest:
    """Whether the candidate is equivalent to the other model, from correctness on the same examples: bool [n] each.

    "better": significantly. "equivalent": worse by less than the margin, if at all. "worse": significantly, and perhaps
    by the margin or more. A significant loss within the margin is still "equivalent"; a budget against the best model
    ever served stops such losses from adding up.

    Raises:
        ValueError: no examples, unequal lengths, a margin outside [0, 1] or an alpha outside (0, 0.5).
    """
    candidate, other = np.asarray(candidate, bool), np.asarray(other, bool)
    if candidate.ndim != 1 or candidate.shape != other.shape:
        raise ValueError(f"two models on the same examples: shapes are {candidate.shape} and {other.shape}")
    won, lost = int((candidate & ~other).sum()), int((other & ~candidate).sum())
    return compare_counts(
        int((candidate & other).sum()), won, lost, int((~candidate & ~other).sum()), margin=margin, alpha=alpha
    )


def compare_counts(
    both: int, only_candidate: int, only_other: int, neither: int, *, margin: float, alpha: float
) -> PairedTest:
    """`compare` from the four counts of correct predictions."""
    won, lost, n = only_candidate, only_other, both + only_candidate + only_other + neither
    if n == 0:
        raise ValueError("no examples to compare on")
    if not (0 <= margin <= 1 and 0 < alpha < 0.5):
        raise ValueError(f"margin {margin} must lie in [0, 1] and alpha {alpha} between 0 and 0.5")
    verdict = _verdict(won, lost, n, margin, alpha)
    return PairedTest(
        verdict,
        (won - lost) / n,
        (_lower(won, lost, n, alpha), -_lower(lost, won, n, alpha)),
        _mid_p(won, lost),
        both,
        won,
        lost,
        neither,
        _more(won, lost, n, margin, alpha) if verdict == "undecided" else None,
        margin,
        alpha,
    )


def _verdict(won: int, lost: int, n: int, margin: float, alpha: float) -> Verdict:
    if _exceeds(won, lost, n, -margin, alpha):
        return "better" if won > lost and _mid_p(won, lost) <= alpha else "equivalent"
    return "worse" if won < lost and _mid_p(won, lost) <= alpha else "undecided"


def _mid_p(won: int, lost: int) -> float:
    """McNemar's mid-p, in (0, 1]: twice the binomial tail, in which the observed count counts half.

    Less conservative than the exact test, and never much above its level (Fagerland, Lydersen and Laake, 2013).
    """
    few, n = min(won, lost), won + lost
    tail = float(scipy.special.bdtr(few, n, 0.5))
    before = float(scipy.special.bdtr(few - 1, n, 0.5)) if few else 0.0
    return min(1.0, tail + before)


def _exceeds(won: int, lost: int, n: int, difference: float, alpha: float) -> bool:
    """Whether the true difference is above this one, tested at level alpha by Tango's score (1998).

    The variance is that of the most likely pair of models that differ by exactly this much. So it holds where few or no
    examples distinguish the models, where Wald's interval has no width; and the test at 0 is McNemar's.
    """
    a, b, c = (
        2 * n,
        2 * n * difference - (won + lost) - (won - lost) * difference,
        -lost * difference * (1 - difference),
    )
    share = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (
        2 * a
    )  # of examples that only the other classifies correctly
    variance = n * max(0.0, 2 * share + difference * (1 - difference))
    return won - lost - n * difference > NormalDist().inv_cdf(1 - alpha) * math.sqrt(variance)


def _lower(won: int, lost: int, n: int, alpha: float) -> float:
    """The greatest difference, to 15 digits, that the true one exceeds at level alpha. At least -1."""
    low, high = -1.0, (won - lost) / n
    for _ in range(52):
        middle = (low + high) / 2
        if _exceeds(won, lost, n, middle, alpha):
            low = middle
        else:
            high = middle
    return high


def _more(won: int, lost: int, n: int, margin: float, alpha: float) -> int | None:
    """How many more examples, like these, are needed for a verdict. None: no sensible number."""

    def decided(count: int) -> bool:
        share = count / n
        return _verdict(round(won * share), round(lost * share), count, margin, alpha) != "undecided"

    few, many = n, 2 * n
    while not decided(many):
        few, many = many, 2 * many
        if many > MAX_EXAMPLES:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if decided(middle) else (middle, many)
    return many - n


def interval(correct: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Low and high end of an accuracy, two-sided (Wilson, 1927): (0, 1) where there are no examples."""
    if not 0 <= correct <= count:
        raise ValueError(f"{correct} correct of {count}")
    if count == 0:
        return 0.0, 1.0
    z, share = NormalDist().inv_cdf((1 + confidence) / 2), correct / count
    centre = (correct + z * z / 2) / (count + z * z)
    half = z / (count + z * z) * math.sqrt(count * share * (1 - share) + z * z / 4)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
