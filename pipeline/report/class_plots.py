"""Plots of many classes, for which a row or a bar each would be too many.

svg = accuracies([("overall", {"accuracy": 0.98, "interval": [0.97, 0.99]}, None), ...])
svg = labels({"train": {"0": 5400, ...}, "test": ...})
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from pipeline.report.plots import ACCENT, DIM, OTHER, Row, figure_of, known, legend
from schemas.text import printable

T = TypeVar("T")
POINTS = 500  # of a line; of more classes, every second or third is drawn, since a line has no more pixels


def accuracies(rows: Sequence[tuple[str, Row, Row | None]]) -> str:
    """Accuracy of each class with its interval, and of the served model's classes, each sorted: the lowest first.

    `rows`: overall, then (name, candidate, served or None) of each class.
    """
    (_, whole, _), *classes = rows
    candidate = sorted((row for _, row, _ in classes if row["accuracy"] is not None), key=_by_accuracy)
    served = sorted((row for _, _, row in classes if row and row["accuracy"] is not None), key=_by_accuracy)
    with figure_of("accuracy of each class, the lowest first, with its 95 % interval", 2.9) as (figure, finish):
        axes = figure.subplots()
        ends = [(x, row["interval"]) for x, row in _thinned(candidate) if known(row["interval"])]
        low, high = [interval[0] for _, interval in ends], [interval[1] for _, interval in ends]
        axes.fill_between([x for x, _ in ends], low, high, step="mid", color=ACCENT, alpha=0.18, linewidth=0)
        for rows_of, colour, width, label in ((served, OTHER, 1.2, "served"), (candidate, ACCENT, 1.6, "candidate")):
            if rows_of:
                xs, lines = zip(*((x, row["accuracy"]) for x, row in _thinned(rows_of)), strict=True)
                axes.plot(xs, lines, color=colour, linewidth=width, drawstyle="steps-mid", label=label)
        axes.axhline(whole["accuracy"], color=DIM, linewidth=1, linestyle=(0, (4, 3)), label="candidate, overall")
        axes.grid(axis="x", visible=False)
        axes.set(
            xlabel="classes, the lowest first", ylabel="accuracy", xlim=(-0.5, len(candidate) - 0.5), ylim=(0, 1.02)
        )
        legend(axes, 3)
        return finish()


def labels(splits: Mapping[str, Mapping[str, int]]) -> str:
    """The share of each label in each split: a line for each, the most common label of the first split on the left."""
    first = next(iter(splits))
    every = sorted({label for counts in splits.values() for label in counts}, key=lambda label: (len(label), label))
    ordered = sorted(every, key=lambda label: -splits[first].get(label, 0))
    with figure_of("share of each label, by split", 2.5) as (figure, finish):
        axes = figure.subplots()
        for i, (split, counts) in enumerate(splits.items()):
            total = max(1, sum(counts.values()))
            xs, shares = zip(*((x, 100 * counts.get(label, 0) / total) for x, label in _thinned(ordered)), strict=True)
            style = {"color": (ACCENT, DIM, OTHER, DIM)[i % 4], "linewidth": 1.6 if i == 0 else 0.6}
            axes.plot(xs, shares, **style, drawstyle="steps-mid", label=printable(split), zorder=3 - i / 10)
        axes.grid(axis="x", visible=False)
        axes.set(xlabel=f"labels, the most common of {printable(first)} first", ylabel="share, %")
        axes.set(xlim=(-0.5, len(every) - 0.5), ylim=(0, None))
        legend(axes, 4)
        return finish()


def _thinned(values: Sequence[T]) -> list[tuple[int, T]]:
    """(position, value) of at most `POINTS` of the values, evenly spaced."""
    return list(enumerate(values))[:: -(-len(values) // POINTS) or 1]


def _by_accuracy(row: Row) -> float:
    return float(row["accuracy"])
