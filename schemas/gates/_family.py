"""Confidence bounds of accuracies that hold for all slices of a gate at once.

upper_bound(92, 100, 0.95)                           # 0.960: the true accuracy is at most this, at 95 % confidence
upper_bound(92, 100, family_wise(0.95, slices=10))   # 0.974: and those of ten slices together
"""

from etils import epy

with epy.lazy_imports():
    import scipy.special


def family_wise(confidence: float, slices: int) -> float:
    """The confidence of each of so many bounds, so that all hold at once at `confidence` (Bonferroni; Dunn, 1961).

    It holds for any dependence between the slices, which may overlap. Holm's procedure (1979) refuses the same models:
    it starts with the same comparison, and only names more slices after the first refusal.
    """
    return 1 - (1 - confidence) / max(1, slices)


def upper_bound(correct: int, count: int, confidence: float) -> float:
    """Upper bound of the true accuracy at this one-sided confidence (Clopper and Pearson, 1934). 1 without examples.

    The true accuracy is above it at most as often as the confidence states, at any level and for any number of images.
    Wilson's bound does not hold in the tails: on 30 images, at a level of 0.05 / 1000, a true accuracy of 0.96 is above
    it 21 times as often.

    Raises:
        ValueError: more are correct than there are, or fewer than none.
    """
    if not 0 <= correct <= count:
        raise ValueError(f"{correct} correct of {count}")
    return 1.0 if correct == count else float(scipy.special.bdtri(correct, count, 1 - confidence))
