"""The confusion of the candidate: a matrix of few classes, the most common mistakes of many.

matrix(facts)       # [[980, 0, ...], ...], or [] for many classes
pairs(facts)        # [Pair(label=3, predicted=5, images=17, share=0.017), ...]
"""

from dataclasses import dataclass

from pipeline.report.facts import Facts
from schemas.confusion import Confusion

MAX_CLASSES = 24  # of a matrix; of more classes, only the most common mistakes are shown
MAX_PAIRS = 24


@dataclass(frozen=True)
class Pair:
    """A label and a wrong prediction."""

    label: int
    predicted: int
    images: int
    share: float  # of the images with this label


def of_candidate(facts: Facts) -> Confusion:
    return Confusion.of(facts.candidate["confusion"] if facts.candidate else None)


def pairs(facts: Facts) -> list[Pair]:
    """The wrong predictions, the most common first."""
    confusion = of_candidate(facts)
    labelled = confusion.labelled()
    return [Pair(label, other, n, n / labelled[label]) for label, other, n in confusion.mistakes()]


def matrix(facts: Facts) -> list[list[int]]:
    """The confusion matrix. Empty for more than `MAX_CLASSES` classes."""
    confusion = of_candidate(facts)
    return confusion.rows() if confusion.classes <= MAX_CLASSES else []


def heat(rows: list[list[int]]) -> list[list[float]]:
    """The intensity of each cell in [0, 1]: of mistakes by their share of the label, of correct predictions 0."""
    shares = [[0 if i == j else n / (sum(row) or 1) for j, n in enumerate(row)] for i, row in enumerate(rows)]
    highest = max((share for row in shares for share in row), default=0) or 1
    # The square root keeps rare mistakes visible beside very common ones.
    return [[round((share / highest) ** 0.5, 3) for share in row] for row in shares]
