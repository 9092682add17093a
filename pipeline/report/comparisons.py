"""Comparisons with the served model and the best version ever served, in the words of the report.

sentences(facts.comparisons)      # [(Comparison(...), "0.31 points better than version 3 (...)"), ...]
"""

from collections.abc import Iterable, Sequence

from schemas.artifacts import Comparison, PairedTest
from schemas.artifacts.evaluation import BASELINE, BEST


def with_served(comparisons: Iterable[Comparison]) -> Comparison | None:
    """The comparison with the served model."""
    return next((each for each in comparisons if each.model == BASELINE), None)


def sentences(comparisons: Sequence[Comparison]) -> list[tuple[Comparison, str]]:
    """Each comparison in words. The served version may also be the best: then the second sentence only adds to it."""
    served = with_served(comparisons)
    return [(each, _sentence(each, served)) for each in comparisons]


def _sentence(comparison: Comparison, served: Comparison | None) -> str:
    if comparison.model != BEST:
        return comparison.message
    test = comparison.test
    if not (test and served and served.version == comparison.version):
        return f"against the best version ever served: {comparison.message}"
    budget = f"the budget of {100 * test.margin:g} point{'s'[: test.margin != 0.01]}"
    within = "within" if test.verdict in ("better", "equivalent") else "not shown to be within"
    return f"it is also the best version ever served; {within} {budget}"


def counts(comparisons: Iterable[Comparison]) -> list[tuple[str, PairedTest]]:
    """Each version that was compared on the same images, and the test, which has the counts of correct predictions."""
    tests: dict[int, PairedTest] = {}
    best = {each.version for each in comparisons if each.model == BEST}
    for each in comparisons:
        if each.test:
            tests.setdefault(each.version, each.test)
    return [
        (f"version {version}{', the best so far' if version in best else ''}", test) for version, test in tests.items()
    ]
