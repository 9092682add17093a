"""The artifact of evaluate."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.artifacts.base import Gate

if TYPE_CHECKING:
    import pyarrow as pa

PREDICTIONS = "predictions"
CANDIDATE, BASELINE, BEST = "candidate", "baseline", "best"  # the models of an evaluation
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
    value: float | None = None  # None: it could not be measured, or is no number
    verdict: str = ""  # "passed", "refused" or "too few examples"
    margin: str = ""
    on: str = ""  # the slice, with the names of its labels; by default as it is

    def __post_init__(self) -> None:
        if not self.on:
            object.__setattr__(self, "on", self.slice)
        if not self.verdict:
            object.__setattr__(self, "verdict", "passed" if self.passed else "refused")

    @classmethod
    def of(cls, row: dict[str, Any]) -> "GateResult":
        """A row of `gates.json`, of this version or an older one."""
        known = {field.name for field in fields(cls)}
        named = {_NAMES.get(name, name): value for name, value in row.items()}
        return cls(**{name: value for name, value in named.items() if name in known})

    def as_row(self) -> dict[str, Any]:
        """As JSON values, with the names that version 0.1 gave them."""
        keys = {name: key for key, name in _NAMES.items()}
        return {keys.get(name, name): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Evaluation(Gate):
    """Metrics of the model on the test split, and the results of the gates.

    Files: `tfma/` (a complete TFMA output), `predictions/*.parquet` (index, label, probabilities, and those of the
    models it was compared with), `metrics.json`, `comparisons.json`, `gates.json`, `gallery.json` and `gallery.npy`
    (images worth seeing), `probes.tfrecord` and `probes.npy` (a few raw records and the probabilities given to them).
    """

    accuracy: float  # on the test split, in [0, 1]
    loss: float
    saved_model: str  # digest of the SavedModel that was evaluated
    test: str = ""  # digest of the test split
    baseline: int | None = None  # the version it was compared with

    @property
    def summary(self) -> str:
        against = f", against version {self.baseline}" if self.baseline else ""
        return f"accuracy {self.accuracy:.4f}{against}"

    def gates(self) -> tuple[GateResult, ...]:
        """A result for each gate and slice, in the order of the configuration."""
        return tuple(GateResult.of(row) for row in self.read_json("gates.json"))

    def metrics(self) -> dict[str, Any]:
        """Metrics by model: "candidate" and, where there was one, "baseline" and "best"."""
        found: dict[str, Any] = self.read_json("metrics.json")
        return found

    def comparisons(self) -> list[dict[str, Any]]:
        """The candidate against the served model and against the best model ever served."""
        found: list[dict[str, Any]] = self.read_json("comparisons.json")
        return found

    def predictions(self) -> "pa.Table":
        """One row per test image: `index`, `label`, `probabilities`, and those of the other models."""
        import pyarrow.parquet as pq

        return pq.read_table(self.path / PREDICTIONS)

    @staticmethod
    def write_results(
        out: Path, gates: Iterable[GateResult], metrics: dict[str, Any], comparisons: list[dict[str, Any]]
    ) -> None:
        """Writes `gates.json`, `metrics.json`, `comparisons.json`. NaN and infinity become null, which JSON has."""
        rows = [gate.as_row() for gate in gates]
        for name, content in (("gates", rows), ("metrics", metrics), ("comparisons", comparisons)):
            (out / f"{name}.json").write_text(json.dumps(_finite(content), indent=1), encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
