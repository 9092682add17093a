"""The artifact of evaluate."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.artifacts.base import DamagedFile, Gate
from schemas.artifacts.comparison import Comparison
from schemas.artifacts.gallery import GalleryEntry

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

PREDICTIONS = "predictions"
GALLERY, GALLERY_IMAGES = "gallery.json", "gallery.npy"
PROBES, ENCODED, PIXELS, PROBABILITIES = "probes.tfrecord", "encoded.tfrecord", "pixels.npy", "probes.npy"
CANDIDATE, BASELINE, BEST = "candidate", "baseline", "best"  # the models of an evaluation
FEW, WORST = 3, 10  # refusals of one gate that are stated one by one; of more, as many are named
_NAMES = {"came": "measured", "words": "reason"}  # keys of gates.json since version 0.1


@dataclass(frozen=True)
class GateResult:
    """What one gate required of one slice, and what was measured. A row of `gates.json`."""

    gate: str  # the setting, e.g. "accuracy" or "slices.ink=low"
    slice: str  # "overall", or "label=3"
    required: str
    measured: str
    passed: bool
    reason: str  # of a refusal
    bound: float | None = None
    value: float | None = None  # None: not measured, or not a number
    verdict: str = ""  # "passed", "refused" or "too few examples"
    margin: str = ""
    on: str = ""  # the slice, with the names of its labels
    upper: bool = False  # the bound is an upper one
    level: str = ""  # of a confidence bound: "95% confidence for 10 slices together"

    def __post_init__(self) -> None:
        if not self.on:
            object.__setattr__(self, "on", self.slice)
        if not self.verdict:
            object.__setattr__(self, "verdict", "passed" if self.passed else "refused")

    @classmethod
    def of(cls, row: dict[str, Any]) -> "GateResult":
        """A row of `gates.json`, of this version or an older one."""
        if "required" not in row:
            row = _of_numbers(row)
        row = {"upper": row["required"].startswith("≤")} | row  # older versions do not state it
        known = {field.name for field in fields(cls)}
        named = {_NAMES.get(name, name): value for name, value in row.items()}
        return cls(**{name: value for name, value in named.items() if name in known})

    @property
    def distance(self) -> float | None:
        """From the bound to the value, negative if the value is beyond it. None if there is no value."""
        if self.value is None or self.bound is None:
            return None
        return self.bound - self.value if self.upper else self.value - self.bound

    def as_row(self) -> dict[str, Any]:
        """As JSON values, with the keys of version 0.1."""
        keys = {name: key for key, name in _NAMES.items()}
        return {keys.get(name, name): value for name, value in asdict(self).items()}


def refusals(results: Iterable[GateResult]) -> tuple[str, ...]:
    """A sentence for each refusal; one for all slices of a gate that refuses more than a few."""
    groups: dict[str, list[GateResult]] = {}
    for result in results:
        groups.setdefault(result.gate.partition(".")[0], []).append(result)
    sentences: list[str] = []
    for gate, group in groups.items():
        refused = [result for result in group if not result.passed]
        if len(refused) <= FEW:
            sentences += [result.reason for result in refused]
            continue
        worst = ", ".join(f"{each.on} {each.measured.partition(',')[0]}" for each in ranked(refused)[:WORST])
        noun = "classes" if all(result.slice.startswith("label=") for result in group) else "slices"
        floors = {(result.required[0], result.bound, result.value is None) for result in refused}
        floor = f" that are below {refused[0].bound:g}" if floors == {("≥", refused[0].bound, False)} else ""
        level = next((f" at {result.level}" for result in refused if result.level), "")
        counted = f"{len(refused):,} of {len(group):,} {noun}{floor}{level}"
        sentences.append(f"gates.{gate} refuses {counted}; the worst {min(WORST, len(refused))}: {worst}")
    return tuple(sentences)


def ranked(results: Iterable[GateResult]) -> list[GateResult]:
    """The results with the smallest margin first: refused, then barely passed, then those without a margin."""

    def distance(result: GateResult) -> float:
        if result.distance is None:
            return math.inf if result.passed else -math.inf
        return result.distance

    return sorted(results, key=lambda result: (result.passed, result.verdict == "too few examples", distance(result)))


@dataclass(frozen=True)
class Evaluation(Gate):
    """Metrics of the model on the test split, and the results of the gates.

    Files: `tfma/` (a complete TFMA output), `predictions/*.parquet` (index, file, label, probabilities, and those of
    the models it was compared with), `metrics.json`, `comparisons.json`, `gates.json`, `gallery.json` and `gallery.npy`
    (images for the report), `probes.tfrecord`, `encoded.tfrecord`, `pixels.npy` and `probes.npy` (a few records, the
    same images as the other signatures take them, and the probabilities given to them).
    """

    accuracy: float  # on the test split, in [0, 1]
    loss: float  # mean cross-entropy on the test split
    saved_model: str  # digest of the SavedModel that was evaluated
    test: str = ""  # digest of the test split
    baseline: int | None = None  # the version it was compared with

    @property
    def summary(self) -> str:
        against = f", against version {self.baseline}" if self.baseline else ""
        return f"accuracy {self.accuracy:.4f}{against}"

    def gates(self) -> tuple[GateResult, ...]:
        """A result for each gate and slice, in the order of the configuration."""
        return tuple(self.read_rows("gates.json", GateResult.of))

    def metrics(self) -> dict[str, Any]:
        """Metrics by model: "candidate" and, where there was one, "baseline" and "best".

        `confusion` has the number of classes and the cells [label, prediction, images] that are not 0. Version 0.1
        wrote all rows of the matrix; `schemas.confusion.Confusion.of` reads both.
        """
        return self.read_json("metrics.json", dict)

    def comparisons(self) -> tuple[Comparison, ...]:
        """The candidate against the served model and against the best model ever served."""
        return tuple(self.read_rows("comparisons.json", Comparison.of))

    def gallery(self) -> dict[str, list[GalleryEntry]]:
        """Test images for the report, by reason: "mistakes", "lost", "gained", "samples".

        Raises:
            DamagedFile: the file is missing or damaged.
        """
        try:
            groups = self.read_json(GALLERY, dict).items()
            return {reason: [GalleryEntry.of(row) for row in rows] for reason, rows in groups}
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedFile(self.path, GALLERY, error) from None

    def gallery_images(self) -> "np.ndarray":
        """The images of the gallery: uint8 [n, height, width, channels].

        Raises:
            DamagedFile: the file is missing or cut short.
        """
        return self.read_array(GALLERY_IMAGES)

    @staticmethod
    def write_gallery(out: Path, gallery: dict[str, list[GalleryEntry]], images: "np.ndarray") -> None:
        """Writes `gallery.json`, and its images to `gallery.npy`: uint8 [n, height, width, channels]."""
        import numpy as np

        np.save(out / GALLERY_IMAGES, images)
        rows = {reason: [entry.as_row() for entry in entries] for reason, entries in gallery.items()}
        (out / GALLERY).write_text(json.dumps(rows, indent=1, allow_nan=False), encoding="utf-8")

    def predictions(self) -> "pa.Table":
        """One row per test image: `index`, `file`, `label`, `probabilities`, and those of the other models.

        Raises:
            DamagedFile: a Parquet file is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.read_table(self.path / PREDICTIONS)
        except (OSError, pa.ArrowException) as error:
            raise DamagedFile(self.path, PREDICTIONS, str(error).splitlines()[0]) from None

    @staticmethod
    def write_results(
        out: Path, gates: Iterable[GateResult], metrics: dict[str, Any], comparisons: Iterable[Comparison]
    ) -> None:
        """Writes `gates.json`, `metrics.json`, `comparisons.json`. NaN and infinity become null, which JSON has."""
        contents = {
            "gates": [gate.as_row() for gate in gates],
            "metrics": metrics,
            "comparisons": [comparison.as_row() for comparison in comparisons],
        }
        for name, content in contents.items():
            (out / f"{name}.json").write_text(json.dumps(_finite(content), indent=1), encoding="utf-8")


def _of_numbers(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a version that wrote the bound and the measured value as numbers, without texts."""
    upper, value, bound = row["gate"] == "drop", row["came"], row["bound"]
    return {
        "gate": row["gate"],
        "slice": row["slice"].replace("class ", "label="),
        "required": f"{'≤' if upper else '≥'} {bound:.4f}",
        "measured": "none" if value is None else f"{value:.4f}",
        "margin": "" if value is None else f"{bound - value if upper else value - bound:+.4f}",
        "passed": row["passed"],
        "bound": bound,
        "value": value,
        "reason": row["words"],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
