"""Accuracy and gates over all runs of one model, as one inline SVG.

svg = plot(rows)   # rows of `pipeline.report.index`, the oldest first
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from etils import epy

from pipeline.lineage.states import RunState
from pipeline.report.plots import ACCENT, BAD, DIM, STYLE, svg
from pipeline.report.row import Row
from schemas.text import printable

with epy.lazy_imports():
    import matplotlib as mpl
    from matplotlib import figure as figures
    from matplotlib import ticker

WIDTH, ACCURACY, GATE = 680, 150, 13  # points: width of the plot, height of the accuracy axes, height of one gate
LEFT, RIGHT, BETWEEN, BELOW, ABOVE = 70, 12, 14, 30, 6  # points around the axes
MARK = 5  # points: the maximum width of the mark of one run
LABELS = 24  # maximum number of pushed versions that are labelled


def plot(rows: "Sequence[Row]") -> str:
    """The plot as SVG. At least one row must have an accuracy.

    Above, accuracy: pushed models as filled marks, refused ones as hollow marks, the served one as a line. Below, a row
    for each gate: a thin line if it passed, a tall mark if it refused, nothing if it could not decide.
    """
    gates = list(dict.fromkeys(gate for row in rows for gate in row.gates))
    strip = GATE * max(len(gates), 1)
    height = ABOVE + ACCURACY + BETWEEN + strip + BELOW
    inner = (WIDTH - LEFT - RIGHT) / WIDTH
    with mpl.rc_context(STYLE):
        figure = figures.Figure(figsize=(WIDTH / 72, height / 72))
        above = figure.add_axes((LEFT / WIDTH, (BELOW + strip + BETWEEN) / height, inner, ACCURACY / height))
        below = figure.add_axes((LEFT / WIDTH, BELOW / height, inner, strip / height), sharex=above)
        _accuracy(above, rows)
        _gates(below, rows, gates)
        first, last = rows[0].run, rows[-1].run
        room = 0.5 + 0.01 * (last - first)
        above.set_xlim(first - room, last + room)
        for axes in (above, below):
            axes.patch.set_visible(False)
            axes.spines["left"].set_visible(False)
            axes.tick_params(length=0)
        above.tick_params(labelbottom=False)
        above.grid(axis="x", visible=False)
        below.grid(visible=False)
        below.xaxis.set_major_locator(ticker.MaxNLocator(10, integer=True, min_n_ticks=1))
        below.set_xlabel("run")
        return svg(figure, _alt_text(rows))


def _accuracy(axes: Any, rows: "Sequence[Row]") -> None:
    seen = [(row, row.accuracy) for row in rows if row.accuracy is not None]
    values = sorted(accuracy for _, accuracy in seen)
    # An outlier would compress the scale for the other models, so it is drawn at the lower edge.
    usual, top = values[len(values) // 10], values[-1]
    low = max(values[0], usual - max(top - usual, 0.005))
    room = max(top - low, 0.005)
    axes.set_ylim(low - 0.12 * room, top + 0.2 * room)
    axes.set_ylabel("accuracy")
    pushed = [(row, accuracy) for row, accuracy in seen if row.state == RunState.PUSHED]
    if pushed:
        steps = [*((row.run, accuracy) for row, accuracy in pushed), (rows[-1].run, pushed[-1][1])]
        axes.step(*zip(*steps, strict=True), where="post", color=ACCENT, linewidth=1)
    size = 26 if len(seen) <= 100 else 12
    hollow = {"facecolors": "none", "edgecolors": BAD, "s": size}
    small = {"color": DIM, "s": size / 5}
    styles: dict[str, Any] = {
        RunState.UNCHANGED: small,
        RunState.PARTIAL: small,
        RunState.PUSHED: {"color": ACCENT, "s": size},
    }
    others = sorted({row.state for row, _ in seen} - styles.keys())
    for state in (RunState.UNCHANGED, RunState.PARTIAL, *others, RunState.PUSHED):
        points = [(row.run, accuracy) for row, accuracy in seen if row.state == state]
        for marker, places in (
            ("o", [p for p in points if p[1] >= low]),
            ("v", [(x, low - 0.05 * room) for x, y in points if y < low]),
        ):
            if places:
                axes.scatter(*zip(*places, strict=True), marker=marker, zorder=3, **styles.get(state, hollow))
    for n, (row, accuracy) in list(enumerate(pushed))[0 if len(pushed) <= LABELS else -1 :]:
        falls = n > 0 and accuracy < pushed[n - 1][1]  # then the line is above the mark
        place = {
            "xytext": (0, -6 if falls else 5),
            "textcoords": "offset points",
            "ha": "center",
            "va": "top" if falls else "bottom",
        }
        axes.annotate(f"v{row.version}", (row.run, max(accuracy, low)), color=ACCENT, fontsize=8, **place)


def _gates(axes: Any, rows: "Sequence[Row]", gates: list[str]) -> None:
    axes.set_ylim(max(len(gates), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(gates)), [printable(gate).replace("_", " ") for gate in gates])
    mark = min(1.0, MARK * (rows[-1].run - rows[0].run + 1) / (WIDTH - LEFT - RIGHT))
    for y, gate in enumerate(gates):
        for verdict, colour, tall, wide, edge in (("passed", DIM, 0.12, 1.0, 0.0), ("refused", BAD, 0.76, mark, 0.8)):
            bars = [(start - wide / 2, length - 1 + wide) for start, length in _streaks(rows, gate, verdict)]
            axes.broken_barh(bars, (y - tall / 2, tall), facecolors=colour, edgecolors=colour, linewidth=edge)


def _streaks(rows: "Sequence[Row]", gate: str, verdict: str) -> Iterator[tuple[int, int]]:
    """(first run, length) of each streak of consecutive runs in which a gate had this verdict."""
    matching = [row.run for row in rows if row.gates.get(gate) == verdict]
    for _, streak in itertools.groupby(enumerate(matching), lambda pair: pair[1] - pair[0]):
        numbers = [run for _, run in streak]
        yield numbers[0], len(numbers)


def _alt_text(rows: "Sequence[Row]") -> str:
    seen = [row.accuracy for row in rows if row.accuracy is not None]
    pushed, refused = (sum(row.state == state for row in rows) for state in (RunState.PUSHED, RunState.REFUSED))
    span = f"accuracy from {min(seen):.4f} to {max(seen):.4f}"
    counts = f"{pushed} pushed, {refused} refused; below, the gates that refused"
    return f"runs {rows[0].run} to {rows[-1].run}: {span}, {counts}"
