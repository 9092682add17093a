"""What gates on many classes do to models whose true accuracy on each class is known.

refusal_rate(np.full(1000, 0.75), 100, min_correct(0.75, 1000, 100), 2000, rng)  # share of test sets
"""

from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from components._evaluation.paired import interval
from schemas.gates import Measured, Planned
from schemas.gates.per_class import PerClass
from tests.benchmarks.__main__ import Row

CLASSES, IMAGES, FLOORS = (10, 100, 1000), (30, 100, 1000), (0.3, 0.75, 0.96)
LEVEL = 0.05
WORSE = 0.2  # points of accuracy / 100 that one class is below the floor
BATCH = 500  # test sets that are drawn at a time


def min_correct(floor: float, classes: int, images: int) -> int:
    """The fewest correct predictions on a class with which the shipped gate passes it."""
    planned = Planned(range(classes), images=classes * images, values={"label": classes})

    def passes(correct: int) -> bool:
        row = {"count": images, "accuracy": correct / images, "loss": 0.1}
        return next(PerClass(floor).evaluate(Measured(planned, {"candidate": {"slices": {"label=0": row}}}))).passed

    return _smallest(passes, images)


def min_correct_alone(floor: float, images: int) -> int:
    """The same if each class has a bound of its own, by Wilson's interval, as gateline 0.1 judged."""
    return _smallest(lambda correct: interval(correct, images, 1 - 2 * LEVEL)[1] >= floor, images)


def _smallest(passes: Callable[[int], bool], most: int) -> int:
    low, high = -1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def refusal_rate(accuracies: np.ndarray, images: int, limit: int, test_sets: int, rng: np.random.Generator) -> float:
    """Share of so many test sets on which a class has fewer correct predictions than `limit`."""
    sizes = [min(BATCH, test_sets - start) for start in range(0, test_sets, BATCH)]
    refused = [(rng.binomial(images, accuracies, (size, len(accuracies))) < limit).any(1) for size in sizes]
    return float(np.concatenate(refused).mean())


def with_one_worse(floor: float, classes: int) -> np.ndarray:
    """True accuracies: one class is below the floor, the others are above by as much as it is below, or perfect."""
    accuracies = np.full(classes, min(1.0, floor + WORSE))
    accuracies[0] = floor - WORSE
    return accuracies


def measure(test_sets: int, seed: int) -> dict[tuple[float, int, int], tuple[float, float, float]]:
    """By floor, classes and images of each: how often a model is refused.

    All classes at the floor, with a bound for each class alone and with the shipped gate; and one class worse.
    """
    rng, rates = np.random.default_rng(seed), {}
    for floor in FLOORS:
        for classes in CLASSES:
            for images in IMAGES:
                alone, together = min_correct_alone(floor, images), min_correct(floor, classes, images)
                equal, worse = np.full(classes, floor), with_one_worse(floor, classes)
                rates[floor, classes, images] = (
                    refusal_rate(equal, images, alone, test_sets, rng),
                    refusal_rate(equal, images, together, test_sets, rng),
                    refusal_rate(worse, images, together, test_sets, rng),
                )
    return rates


def bench(console: Console, test_sets: int, seed: int) -> list[Row]:
    """Prints the table and returns the rows of the summary."""
    rates = measure(test_sets, seed)
    console.print(table(rates, test_sets))
    by_chance = max(together for _, together, _ in rates.values())
    detected = min(worse for (*_, images), (*_, worse) in rates.items() if images == IMAGES[-1])
    worse = f"one class {100 * WORSE:g} points below the floor, refused ({IMAGES[-1]:,} images)"
    most, chance = f"at most {100 * LEVEL:g} %", 3 * (LEVEL / test_sets) ** 0.5
    return [
        (
            "every class at the floor, yet refused (worst case)",
            f"{100 * by_chance:.1f} %",
            most,
            by_chance <= LEVEL + chance,
        ),
        (worse, f"{100 * detected:.1f} %", "at least 99 %", detected >= 0.99),
    ]


def table(rates: dict[tuple[float, int, int], tuple[float, float, float]], test_sets: int) -> Table:
    """How often a model is refused, by number of classes."""
    result = Table(
        "floor",
        "classes",
        "images of each",
        "all at the floor: each class alone",
        "all classes together",
        f"one class {100 * WORSE:g} points below",
        title=f"gates.per_class refuses, of {test_sets:,} test sets",
    )
    for (floor, classes, images), row in rates.items():
        last = (classes, images) == (CLASSES[-1], IMAGES[-1])
        shares = (f"{100 * rate:.1f} %" for rate in row)
        result.add_row(f"{floor:g}", f"{classes:,}", f"{images:,}", *shares, end_section=last)
    return result
