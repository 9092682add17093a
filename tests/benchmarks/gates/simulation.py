"""What gates do to models of known accuracy: to one candidate, often, and to a long line of them.

np.mean([paired()(row) for row in draws(candidate.right, baseline.right, 2000, rng)])   # share of pushed candidates
chain(model, rng, paired(), paired(BUDGET.margin, BUDGET.alpha)).accuracy               # lost after 50 generations
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components._evaluation.paired import compare_counts
from schemas.gates.budget import Budget
from schemas.gates.paired import Paired
from tests.benchmarks.gates.population import Model

COUNT = 10_000  # images in a test set
PAIRED, BUDGET = Paired(), Budget()  # what is shipped is what is measured

Gate = Callable[[np.ndarray], bool]  # of the four `counts`


def paired(margin: float = PAIRED.margin, alpha: float = PAIRED.alpha) -> Gate:
    """Passes what is better or equivalent. With the budget's margin, against the best model ever served: the budget."""
    return lambda counts: (
        compare_counts(*map(int, counts), margin=margin, alpha=alpha).verdict in ("better", "equivalent")
    )


def threshold(drop: float) -> Gate:
    """A change threshold of TensorFlow Model Analysis on accuracy: a drop in the figures, chance or not."""
    return lambda counts: counts[2] - counts[1] <= drop * counts.sum() + 1e-9


def pair(candidate: Model, baseline: Model, effect: float, rng: np.random.Generator) -> tuple[Model, Model]:
    """These two after the better one was made worse, so that candidate minus baseline is the effect, to 0.01 point."""
    excess = candidate.accuracy - baseline.accuracy - effect
    return (candidate.worse(excess, rng), baseline) if excess > 0 else (candidate, baseline.worse(-excess, rng))


def counts(candidate: np.ndarray, other: np.ndarray) -> np.ndarray:
    """int [4] of bool [n] each: right by both, only the candidate, only the other, neither."""
    return np.bincount(2 * ~candidate + ~other, minlength=4)


def draws(candidate: np.ndarray, baseline: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """int [number, 4]: the counts on so many test sets, drawn with replacement, which makes them multinomial."""
    return rng.multinomial(COUNT, counts(candidate, baseline) / len(candidate), size=number)


@dataclass(frozen=True)
class Lost:
    """What a line of generations came to."""

    accuracy: float  # truly lost between the first and the last model served
    pushed: int


def chain(
    first: Model,
    rng: np.random.Generator,
    gate: Gate,
    budget: Gate | None = None,
    *,
    generations: int = 50,
    loss: float = 0.001,
) -> Lost:
    """Every candidate is truly worse than the served model, by a little; all are tested on the same test set."""
    test = rng.integers(0, len(first.labels), COUNT)
    served = best = first
    pushed = 0
    for _ in range(generations):
        candidate = served.worse(loss, rng)
        right = candidate.right[test]
        if gate(counts(right, served.right[test])) and (budget is None or budget(counts(right, best.right[test]))):
            served, pushed = candidate, pushed + 1
            best = max(best, served, key=lambda model: model.right[test].sum())
    return Lost(first.accuracy - served.accuracy, pushed)
