"""Artifacts of the serving check, approval and push, and of what is served."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from schemas import statistics
from schemas.artifacts.base import Artifact, Gate
from schemas.errors import GatelineError, Refused, Waiting

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

MEASUREMENTS = "serving.json"
WARMUP = "assets.extra/tf_serving_warmup_requests"  # where TensorFlow Serving looks for requests to warm a version up


@dataclass(frozen=True)
class Served(Artifact):
    """A version in the serving directory."""

    version: int  # the number of its folder
    test: str = ""  # digest of the test split that it was measured on when it was pushed

    def training_statistics(self) -> "pb.DatasetFeatureStatistics | None":
        """Statistics of the data that it was trained on; None where the version does not keep them."""
        path = self.path / statistics.SERVED
        return statistics.read(path)["train"] if path.exists() else None


@dataclass(frozen=True)
class Best(Artifact):
    """The most accurate version ever served. `path` is there only if it is still kept."""

    version: int  # its number
    accuracy: float  # as recorded when it was pushed
    kept: bool  # whether its files are still in the serving directory
    same_test: bool  # whether that was measured on the current test split


@dataclass(frozen=True)
class ServingCheck(Gate):
    """The model loaded by a process without this project's code.

    Files: `serving.json`, the measurements; `assets.extra/tf_serving_warmup_requests`, pushed with the model.
    """

    load_seconds: float = 0.0  # to load the SavedModel
    latency_ms: float = 0.0  # median of a call with one image
    p99_ms: float = 0.0  # 99th percentile of a call with one image
    memory_mb: float = 0.0  # peak in addition to TensorFlow itself, in 10^6 bytes
    difference: float = 0.0  # largest difference from the evaluator's probabilities

    def measurements(self) -> dict[str, Any]:
        """Load time, latency by batch size, memory, signatures."""
        return self.read_json(MEASUREMENTS, dict)

    @staticmethod
    def write_measurements(out: Path, measured: dict[str, Any]) -> None:
        (out / MEASUREMENTS).write_text(json.dumps(measured, indent=2), encoding="utf-8")


@dataclass(frozen=True)
class Approval(Gate):
    """The decision on a model that passed every other gate. `by` is empty where no approval was needed."""

    model: str  # digest of what the model computes
    evaluation: str  # digest of the evaluation that was shown
    evaluated: str  # when that evaluation was made
    baseline: str | None  # digest of the served model that it was compared with
    directory: Annotated[str, Field(alias="shelf")]  # the model directory that the model would be pushed to
    waiting: bool = False  # True: there is no decision yet
    by: str = ""  # who decided
    reason: str = ""  # why, in their words
    at: str = ""  # when

    @property
    def refusal(self) -> type[GatelineError]:  # type: ignore[override]
        return Waiting if self.waiting else Refused


@dataclass(frozen=True)
class Decision:
    """A person's final decision on a model."""

    run: int  # the run that waited for it
    approved: bool
    by: str
    reason: str
    at: str
    evaluation: str  # digest of the evaluation that was shown


@dataclass(frozen=True)
class Pushed(Artifact):
    """A version in the serving directory, at `path`. `new` is false if that version already contained this model."""

    version: int  # its number
    new: bool  # False: the version existed before, with the same model

    @property
    def summary(self) -> str:
        return f"version {self.version}{'' if self.new else ', which already held this model'}"
