"""Which gates the test split has too few images for, known before anything is trained.

`init`, `run --dry-run` and validate say it through `unjudgeable`.

counts = ImageCounts.of(statistics.by_split(), len(statistics.leaked()))
[str(each) for each in unjudgeable(SliceGates.of(config.gates, config.evaluate), counts, contract)]
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from schemas.contract import Contract, label_title, slice_title
from schemas.gates import Gate, Planned, Rules, Threshold, family_wise
from schemas.gates.per_class import PerClass
from schemas.image_counts import ImageCounts
from schemas.settings.evaluate import Evaluate
from schemas.text import listed

SHOWN = 5  # slices in a sentence
UPPER = "upper"  # the metric of a gate that judges slices, see `Threshold`
Kind = Literal["absent", "few", "powerless"]


@dataclass(frozen=True)
class SliceGates:
    """The gates that judge slices, and the settings on which it depends whether a slice can be judged."""

    gates: dict[str, Gate]
    confidence: float
    min_examples: int
    corrupted: int  # test images that are corrupted
    bins: dict[str, int]  # slices by measure of the pixels

    @classmethod
    def of(cls, gates: Rules, evaluate: Evaluate) -> "SliceGates":
        any_test = Planned(labels=(0, 1), images=1, baseline=True, fresh=True)
        slices = {key: [each.slice for each in _bounds(gate, any_test)] for key, gate in gates.stated().items()}
        named = {part.partition("=")[0] for each in slices.values() for slice_ in each for part in slice_.split(", ")}
        return cls(
            {key: gate for key, gate in gates.stated().items() if slices[key]},
            gates.confidence,
            gates.min_examples,
            evaluate.corrupted,
            {str(measure): len(edges) + 1 for measure, edges in evaluate.derived.items() if measure in named},
        )


@dataclass(frozen=True)
class Unjudgeable:
    """A gate that cannot judge some slices, or will refuse every model, because of the number of test images."""

    gate: str  # its key
    kind: Kind  # no images; fewer than gates.min_examples; or too few for the gate to refuse any model
    images: dict[str, int]  # by slice, the fewest first
    needed: int  # images of each slice
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}"


def unjudgeable(judging: SliceGates, counts: ImageCounts, contract: Contract) -> list[Unjudgeable]:
    """The gates for which the test split has too few images, each with the number of images that it needs."""
    planned = Planned(
        labels=contract.labels,
        images=counts.images,
        fresh=counts.fresh is not None,
        confidence=judging.confidence,
        min_examples=judging.min_examples,
        values=counts.judgeable(judging.min_examples) | judging.bins,
    )
    found = list(_whole_split(counts, judging.min_examples))
    for key, gate in judging.gates.items():
        rows = [row for each in _bounds(gate, planned) for row in _rows(each, judging, counts)]
        found += _of_gate(key, rows, judging, counts, contract)
    return found


def reach(floor: float, confidence: float) -> int:
    """The fewest images with which a model without a correct prediction is refused by this floor.

    With fewer, the upper confidence bound of its accuracy is not below the floor.
    """
    return 1 if floor >= 1 else math.floor(math.log(1 - confidence) / math.log1p(-floor)) + 1


@dataclass(frozen=True)
class _Row:
    """A slice, its number of images, and the number that it needs for the gate to be able to refuse."""

    slice: str
    images: int
    reach: int
    bound: Threshold

    def kind(self, min_examples: int) -> Kind | None:
        if not self.images:
            return "absent"
        return "few" if self.images < min_examples else "powerless" if self.images < self.reach else None


def _bounds(gate: Gate, planned: Planned) -> Iterator[Threshold]:
    return (each for each in gate.thresholds(planned) if each.metric == UPPER and each.lower is not None)


def _rows(bound: Threshold, judging: SliceGates, counts: ImageCounts) -> Iterator[_Row]:
    """A row for each slice of a threshold whose number of images is known. Of crossed features, at most so many."""
    fewest = reach(bound.lower or 0.0, family_wise(judging.confidence, bound.family))
    parts = [part.partition("=") for part in bound.slice.split(", ")]
    if bound.slice == "fresh=yes":
        yield _Row(bound.slice, counts.fresh or 0, fewest, bound)
    elif parts[0][0] == "corruption":
        clean = counts.images - counts.leaked
        yield _Row(bound.slice, min(judging.corrupted, clean), fewest, bound)
    elif len(parts) == 1 and not parts[0][1]:
        for value, count in counts.complete.get(bound.slice, {}).items():
            yield _Row(f"{bound.slice}={value}", counts.usable(count), fewest, bound)
    elif known := [(counts.complete[name], equals, value) for name, equals, value in parts if name in counts.complete]:
        most = min(by_value.get(value, 0) if equals else max(by_value.values()) for by_value, equals, value in known)
        yield _Row(bound.slice, counts.usable(most), fewest, bound)


def _whole_split(counts: ImageCounts, min_examples: int) -> Iterator[Unjudgeable]:
    if (left := counts.images - counts.leaked) < min_examples:
        message = f"gates.accuracy will refuse every model: the test split has {left:,} usable images, "
        message += f"gates.min_examples requires {min_examples:,}"
        remedy = "Add test images, or lower gates.min_examples"
        yield Unjudgeable("accuracy", "few", {"overall": left}, min_examples, message, remedy)


def _of_gate(
    key: str, rows: list[_Row], judging: SliceGates, counts: ImageCounts, contract: Contract
) -> Iterator[Unjudgeable]:
    """One result for each kind of slice that the gate cannot judge."""
    by_kind: dict[Kind, list[_Row]] = {"absent": [], "few": [], "powerless": []}
    for row in sorted(rows, key=lambda row: row.images):
        if kind := row.kind(judging.min_examples):
            by_kind[kind].append(row)
    for kind, members in by_kind.items():
        if members:
            every = kind == "few" and key == PerClass.key and len(members) + len(by_kind["absent"]) == len(rows)
            needed = max(judging.min_examples, *(row.reach for row in members))
            say = _Sentences(key, members, len(rows), needed, judging, counts, contract)
            message, remedy = say.absent() if kind == "absent" else say.few(every) if kind == "few" else say.powerless()
            images = {row.slice: row.images for row in members}
            yield Unjudgeable(key, kind, images, needed, message, remedy)


@dataclass(frozen=True)
class _Sentences:
    """The messages about the slices that a gate cannot judge, each with its remedy."""

    key: str
    rows: list[_Row]
    total: int
    needed: int
    judging: SliceGates
    counts: ImageCounts
    contract: Contract

    def absent(self) -> tuple[str, str]:
        remedy = f"Add test images of {self._them}, or {self._leave_out}"
        return f"gates.{self.key} will refuse every model: no test images of {self._counted}: {self._listed()}", remedy

    def few(self, every: bool) -> tuple[str, str]:
        effect = "will refuse every model, because it cannot judge" if every else "cannot judge"
        fewest = f"fewer than {self.judging.min_examples:,} test images (gates.min_examples)"
        message = (
            f"gates.{self.key} {effect} {self._counted} with {fewest}: {self._listed(images=True)}{self._estimated}"
        )
        lower = "lower gates.min_examples" if self.rows[-1].images >= self.rows[-1].reach else "remove the gate"
        return message, f"Add test images, at least {self.needed:,} of each, or {lower}"

    def powerless(self) -> tuple[str, str]:
        bound = self.rows[0].bound
        level = f"{100 * self.judging.confidence:g}% confidence"
        level += f" for {bound.family:,} slices together" if bound.family > 1 else ""
        message = f"gates.{self.key} accepts any model on {self._counted}: at {level}, a floor of {bound.lower:g} "
        message += f"refuses nothing on fewer than {self.rows[0].reach:,} test images"
        message += f": {self._listed(images=True)}{self._estimated}"
        least = self.rows[0].images
        floor = math.ceil(100 * (1 - (1 - family_wise(self.judging.confidence, bound.family)) ** (1 / least))) / 100
        higher = f"raise the floor to {floor:g}, " if floor < 1 else ""
        return message, f"Add test images, at least {self.needed:,} of each, {higher}or remove the gate"

    @property
    def _of_labels(self) -> bool:
        return all(row.slice.startswith("label=") and ", " not in row.slice for row in self.rows)

    @property
    def _counted(self) -> str:
        one, many = ("class", "classes") if self._of_labels else ("slice", "slices")
        return f"{len(self.rows):,} of {self.total:,} {one if self.total == 1 else many}"

    @property
    def _them(self) -> str:
        return "it" if len(self.rows) == 1 else "them"

    @property
    def _leave_out(self) -> str:
        if self._of_labels and self.key == PerClass.key:
            return f"declare classes that never occur unused in {self.contract.name}"
        return "remove the gate"

    @property
    def _estimated(self) -> str:
        if not self.counts.leaked:
            return ""
        return f" (estimated: {self.counts.leaked:,} test images are also in another split, and are excluded)"

    def _listed(self, *, images: bool = False) -> str:
        return listed([self._title(row) + (f": {row.images:,}" if images else "") for row in self.rows], SHOWN)

    def _title(self, row: _Row) -> str:
        if self._of_labels:
            return label_title(int(row.slice.removeprefix("label=")), self.contract.names)
        return slice_title(row.slice, self.contract.names)
