"""Statistics of photos and pairs of near copies, in the form that the page shows.

splits(facts)       # Table(columns, rows): a row for each split
classes(facts)      # the same for the classes of train, those that differ most from the others first
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.report.facts import Facts
from schemas.artifacts import TRAIN, in_order

Json = dict[str, Any]

MAX_CLASSES = 12  # rows that are shown; the others are collapsed
NOTEWORTHY = 0.5  # difference of a class: of its median in widths of the middle 80 %, or of its shares
TEXTS = {"format": "format", "mode": "colours", "exif": "EXIF data"}
ALL = {"none": "without EXIF data", "100 %": "with EXIF data"}  # in a sentence
NUMBERS: dict[str, tuple[str, Callable[[float], str]]] = {
    "side": ("short side, px", "{:,.0f}".format),
    "aspect": ("aspect", "{:.2f}".format),
    "bytes": ("KB", lambda value: f"{value / 1000:,.{1 if value < 10_000 else 0}f}"),
    "brightness": ("brightness", "{:.0f}".format),
    "contrast": ("contrast", "{:.0f}".format),
    "sharpness": ("sharpness", "{:,.0f}".format),
}


@dataclass(frozen=True)
class Cell:
    """A value, its range or further values, and whether it differs from the other classes'."""

    text: str
    more: str = ""
    differs: bool = False


@dataclass(frozen=True)
class Row:
    name: str
    images: int
    cells: dict[str, Cell]  # by measure


@dataclass(frozen=True)
class Table:
    """Rows, the titles of those measures that are not the same in all of them, and the others in a sentence."""

    rows: list[Row]

    @property
    def columns(self) -> dict[str, str]:
        titles = TEXTS | {name: title for name, (title, _) in NUMBERS.items()}
        return {name: title for name, title in titles.items() if name not in self._same}

    @property
    def sentence(self) -> str:
        return f"All are {', '.join(self._same.values())}" if self._same else ""

    @property
    def _same(self) -> dict[str, str]:
        values = {name: {(row.cells[name].text, row.cells[name].more) for row in self.rows} for name in TEXTS}
        same = {name: text for name, cells in values.items() if len(cells) == 1 for text, more in cells if not more}
        return {name: ALL.get(text, text) for name, text in same.items() if name != "exif" or text in ALL}


def splits(facts: Facts) -> Table | None:
    """None for raw images."""
    rows = [_row(split, row) for split, photos in _photos(facts).items() for row in [photos[""]]]
    return Table(rows) if rows else None


def classes(facts: Facts) -> Table | None:
    """The classes of train. None for raw images, or a single class."""
    photos = _photos(facts).get(TRAIN, {})
    labels = [label for label in photos if label]
    if len(labels) < 2:
        return None
    apart = {label: differences(photos[label], photos[""]) for label in labels}
    labels.sort(key=lambda label: (-max(apart[label].values()), int(label)))
    return Table([_row(facts.named(int(label)), photos[label], apart[label]) for label in labels])


def differences(row: Json, whole: Json) -> dict[str, float]:
    """By measure, how far the photos of a class are from those of all: 0 for alike.

    Of a number, the distance of the medians in widths of the middle 80 % of all. Of texts, half the sum of the
    differences of shares.
    """
    distances = {}
    for name in NUMBERS:
        low, median, high = whole[name]
        distances[name] = abs(row[name][1] - median) / ((high - low) or max(1.0, abs(median)))
    for name in ("format", "mode"):
        shares = [{value: n / each["images"] for value, n in each[name].items()} for each in (row, whole)]
        distances[name] = sum(abs(shares[0].get(value, 0) - shares[1].get(value, 0)) for value in shares[1]) / 2
    return distances | {"exif": max(abs(row[name] - whole[name]) for name in ("exif", "turned"))}


def _photos(facts: Facts) -> dict[str, Json]:
    """Rows of `schemas.photos` by split and label."""
    return {name: split.photos for name, split in in_order(facts.splits).items() if split.photos}


def _row(name: str, row: Json, apart: Json | None = None) -> Row:
    differs = {measure: value >= NOTEWORTHY for measure, value in (apart or {}).items()}
    cells = {each: _shares(row[each].items(), differs.get(each, False)) for each in ("format", "mode")}
    turned = f"{_percent(row['turned'])} rotated" if row["turned"] else ""
    cells["exif"] = Cell(_percent(row["exif"]) if row["exif"] else "none", turned, differs.get("exif", False))
    for measure, (_, shown) in NUMBERS.items():
        low, median, high = map(shown, row[measure])
        cells[measure] = Cell(median, f"{low} – {high}" if low != high else "", differs.get(measure, False))
    return Row(name, row["images"], cells)


def _shares(counts: Iterable[tuple[str, int]], differs: bool) -> Cell:
    """The most common value, and the others, with their shares."""
    ordered = sorted(counts, key=lambda pair: (-pair[1], pair[0]))
    total = sum(count for _, count in ordered)
    first, *others = [f"{value} {_percent(count / total)}" for value, count in ordered]
    return Cell(first if others else ordered[0][0], ", ".join(others), differs)


def _percent(share: float) -> str:
    """Without decimals; a share below 1 % is not rounded to none."""
    return "< 1 %" if 0 < share < 0.01 else "> 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"
