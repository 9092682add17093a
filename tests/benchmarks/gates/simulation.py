"""Decisions of gates on models with known accuracy: for one candidate on many test sets, and for a chain of models.

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
PAIRED, BUDGET = Paired(), Budget()  # the shipped defaults

Gate = Callable[[np.ndarray], bool]  # its argument is the four `counts`


def paired(margin: float = PAIRED.margin, alpha: float = PAIRED.alpha) -> Gate:
    """Passes a better or equivalent model. With the budget's margin against the best model: the budget."""
    return lambda counts: (
        compare_counts(*map(int, counts), margin=margin, alpha=alpha).verdict in ("better", "equivalent")
    )


def threshold(drop: float) -> Gate:
    """A change threshold of TensorFlow Model Analysis on accuracy, which ignores sampling noise."""
    return lambda counts: counts[2] - counts[1] <= drop * counts.sum() + 1e-9


def pair(candidate: Model, baseline: Model, effect: float, rng: np.random.Generator) -> tuple[Model, Model]:
    """Degrades one of the two so that candidate minus baseline is `effect`, to 0.01 point."""
    excess = candidate.accuracy - baseline.accuracy - effect
    return (candidate.degraded(excess, rng), baseline) if excess > 0 else (candidate, baseline.degraded(-excess, rng))


def counts(candidate: np.ndarray, other: np.ndarray) -> np.ndarray:
    """int [4] from two bool [n]: correct in both, only the candidate, only the other, neither."""
    return np.bincount(2 * ~candidate + ~other, minlength=4)


def draws(candidate: np.ndarray, baseline: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """int [number, 4]: the counts on test sets drawn with replacement, which are multinomial."""
    return rng.multinomial(COUNT, counts(candidate, baseline) / len(candidate), size=number)


@dataclass(frozen=True)
class Lost:
    """The result of a chain of generations."""

    accuracy: float  # true loss between the first and the last served model
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
    """A chain in which every candidate is slightly worse than the served model, all on the same test set."""
    test = rng.integers(0, len(first.labels), COUNT)
    served = best = first
    pushed = 0
    for _ in range(generations):
        candidate = served.degraded(loss, rng)
        right = candidate.right[test]
        if gate(counts(right, served.right[test])) and (budget is None or budget(counts(right, best.right[test]))):
            served, pushed = candidate, pushed + 1
            best = max(best, served, key=lambda model: model.right[test].sum())
    return Lost(first.accuracy - served.accuracy, pushed)
