"""The plots of a page, each an inline SVG whose colours are CSS variables of the page.

svg = accuracies([("overall", {"accuracy": 0.98, "interval": [0.97, 0.99]}, None)])

The width is that of a phone, 4.4 inches. Plots scale with larger screens.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from etils import epy

from schemas.artifacts import TRAIN, VALIDATION
from schemas.text import printable

with epy.lazy_imports():
    import matplotlib as mpl
    from matplotlib import figure as figures
    from matplotlib import ticker

# Placeholder colours; in the SVG they become the variables of `_style.css.j2`.
INK, DIM, LINE, PAPER, ACCENT, OTHER, BAD = "#010203", "#010204", "#010205", "#010206", "#010207", "#010208", "#010209"
VARIABLES = {INK: "ink", DIM: "dim", LINE: "line", PAPER: "paper", ACCENT: "accent", OTHER: "other", BAD: "bad"}
WIDTH = 4.4
MAX_ROWS = 40  # with a row or a bar for each; `class_plots` draws more
MAX_CHARACTERS = 40  # of all names below the bars of labels
MAX_NAME = 24  # characters of a name beside a plot
FEW = 10  # images in a bin of confidence; bins with fewer are drawn hollow
STYLE: Any = {
    "svg.fonttype": "none",  # keeps text as text, in the page's font
    "svg.hashsalt": "gateline",  # makes the file reproducible
    "text.parse_math": False,  # shows dollar signs
    "font.size": 10,
    "legend.fontsize": 9.5,
    "text.color": INK,
    "axes.labelcolor": DIM,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "xtick.color": LINE,
    "xtick.labelcolor": DIM,
    "ytick.color": LINE,
    "ytick.labelcolor": DIM,
    "legend.frameon": False,
    "legend.labelcolor": DIM,
}

Row = dict[str, Any]


def accuracies(rows: Sequence[tuple[str, Row, Row | None]]) -> str:
    """Accuracy with its interval, a row for each (name, candidate, baseline or None)."""
    shown = [row for row in rows if row[1]["accuracy"] is not None]
    both = any(baseline for _, _, baseline in shown)
    with figure_of("accuracy with its 95 % interval, by slice", 0.7 + 0.25 * len(shown)) as (figure, finish):
        axes = figure.subplots()
        _dots(
            axes,
            [(y - 0.14 * both, row) for y, (_, row, _) in enumerate(shown)],
            ACCENT,
            hollow=False,
            label="candidate",
        )
        served = [(y + 0.14, row) for y, (_, _, row) in enumerate(shown) if row and row["accuracy"] is not None]
        _dots(axes, served, OTHER, hollow=True, label="served")
        axes.set_yticks(range(len(shown)), [_short(name) for name, _, _ in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.axhline(0.5, color=LINE, linewidth=0.8)
        axes.set_xlabel("accuracy")
        if both:
            legend(axes, 2)
        return finish()


def robustness(clean: Row, corrupted: dict[str, Row], baseline: dict[str, Row]) -> str:
    """Accuracy of candidate and baseline under each corruption. The line: the candidate on clean images."""
    names = list(corrupted)
    with figure_of("accuracy under each corruption and on clean images", 0.8 + 0.32 * len(names)) as (figure, finish):
        axes = figure.subplots()
        axes.axvline(clean["accuracy"], color=ACCENT, linewidth=1, linestyle=(0, (4, 3)), label="candidate, clean")
        both = bool(baseline)
        candidate = [(y - 0.14 * both, corrupted[name]) for y, name in enumerate(names)]
        _dots(axes, candidate, ACCENT, hollow=False, label="candidate")
        _dots(
            axes,
            [(y + 0.14, baseline[name]) for y, name in enumerate(names) if name in baseline],
            OTHER,
            hollow=True,
            label="served",
        )
        axes.set_yticks(range(len(names)), map(printable, names))
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("accuracy")
        legend(axes, 3)
        return finish()


def reliability(bins: list[Row]) -> str:
    """Accuracy against confidence, with the number of images below (Guo et al. 2017). Calibrated: on the diagonal."""
    used = [b for b in bins if b["count"] and b["confidence"] is not None and b["accuracy"] is not None]
    with figure_of("accuracy against confidence, and the number of images at each confidence", 4.4) as (figure, finish):
        above, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        above.plot([0, 1], [0, 1], color=DIM, linewidth=1, linestyle=(0, (4, 3)))
        for b in used:
            above.plot([b["confidence"]] * 2, [b["confidence"], b["accuracy"]], color=ACCENT, linewidth=1, alpha=0.5)
        xs, ys = [b["confidence"] for b in used], [b["accuracy"] for b in used]
        faces = [PAPER if b["count"] < FEW else ACCENT for b in used]
        above.scatter(xs, ys, s=26, c=faces, edgecolors=ACCENT, linewidths=1.2, zorder=3, clip_on=False)
        above.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
        widths = [b["high"] - b["low"] for b in used]
        below.bar(
            [b["low"] for b in used],
            [b["count"] for b in used],
            width=widths,
            align="edge",
            color=ACCENT,
            edgecolor=PAPER,
        )
        below.set(ylabel="images", xlabel="confidence", yscale="log", ylim=(0.7, None))
        below.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
        below.yaxis.set_minor_locator(ticker.NullLocator())
        figure.align_ylabels()
        return finish()


def labels(splits: dict[str, dict[str, int]], names: Sequence[str] = ()) -> str:
    """The share of each label in each split. `names`: of the labels, shown if they fit."""
    labels = sorted({label for counts in splits.values() for label in counts}, key=lambda label: (len(label), label))
    width = 0.8 / max(1, len(splits))
    with figure_of("share of each label, by split", 2.5) as (figure, finish):
        axes = figure.subplots()
        for i, (split, counts) in enumerate(splits.items()):
            total = max(1, sum(counts.values()))
            shares = [100 * counts.get(label, 0) / total for label in labels]
            xs = [x + (i - (len(splits) - 1) / 2) * width for x in range(len(labels))]
            axes.bar(
                xs,
                shares,
                width=width * 0.92,
                color=(ACCENT, (ACCENT, 0.45), OTHER, DIM)[i % 4],
                label=printable(split),
            )
        shown = [names[int(n)] if n.isdecimal() and int(n) < len(names) else n for n in labels]
        fit = sum(map(len, shown)) <= MAX_CHARACTERS
        axes.set_xticks(range(len(labels)), map(printable, shown if fit else labels))
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="x", visible=False)
        axes.set(xlabel="label", ylabel="share, %")
        legend(axes, 4)
        return finish()


def curve(history: list[dict[str, float]], name: str) -> str:
    """`loss` or `accuracy` over the epochs, of train and validation."""
    epochs = range(1, len(history) + 1)
    with figure_of(f"{name} over the epochs, train and validation", 2.6) as (figure, finish):
        axes = figure.subplots()
        for key, colour, label in ((name, OTHER, TRAIN), (f"val_{name}", ACCENT, VALIDATION)):
            axes.plot(
                epochs,
                [row.get(key) for row in history],
                color=colour,
                linewidth=1.6,
                marker="o",
                markersize=3,
                label=label,
            )
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel=name)
        legend(axes, 2)
        return finish()


def _dots(axes: Any, points: list[tuple[float, Row]], colour: str, *, hollow: bool, label: str) -> None:
    for y, row in points:
        if known(row["interval"]):
            axes.plot(row["interval"], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
    if points:
        ys, xs = zip(*((y, row["accuracy"]) for y, row in points), strict=True)
        axes.scatter(
            xs, ys, s=22, c=PAPER if hollow else colour, edgecolors=colour, linewidths=1.2, zorder=3, label=label
        )


def _short(name: str) -> str:
    """A name, shortened to leave room for the plot."""
    shown: str = printable(name)
    return shown if len(shown) <= MAX_NAME else f"{shown[: MAX_NAME - 1]}…"


def known(interval: Any) -> bool:
    return bool(interval) and None not in interval


def legend(axes: Any, columns: int) -> None:
    where = {
        "loc": "lower left",
        "bbox_to_anchor": (0, 1),
        "borderaxespad": 0,
        "handlelength": 1.2,
        "columnspacing": 1.2,
    }
    axes.legend(ncols=columns, **where)


@contextmanager
def figure_of(alt_text: str, height: float) -> Iterator[tuple[Any, Callable[[], str]]]:
    """A figure of `height` inches in the page's style, and its SVG writer. `alt_text`: for screen readers."""
    with mpl.rc_context(STYLE):
        figure = figures.Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, lambda: svg(figure, alt_text)


def svg(figure: Any, alt_text: str) -> str:
    """A figure as inline SVG, with CSS variables for colours and ids that are unique on the page."""
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing from font", UserWarning
        )  # text remains text, and the page's font has the glyph
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    # A page has many plots, so ids need a prefix.
    prefix = re.sub(r"\W+", "-", alt_text)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'((?:xlink:)?href="|url\()#', rf"\g<1>#{prefix}-", text)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    return text.replace("<svg", f'<svg role="img" aria-label="{alt_text}"', 1)
