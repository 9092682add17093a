"""Artifacts of the serving check, approval and push, and of what is served."""

from dataclasses import dataclass

from schemas.artifacts.base import Artifact, Gate
from schemas.errors import GatelineError, Refused, Waiting

WARMUP = "assets.extra/tf_serving_warmup_requests"  # where TensorFlow Serving looks for requests to warm a version up


@dataclass(frozen=True)
class Served(Artifact):
    """A version that stands in the serving directory."""

    version: int


@dataclass(frozen=True)
class Best(Artifact):
    """The most accurate version ever served. `path` is there only if it is still kept."""

    version: int
    accuracy: float  # as recorded when it was pushed
    kept: bool
    same_test: bool  # recorded on the test split that is in use


@dataclass(frozen=True)
class ServingCheck(Gate):
    """The model loaded by a process that has nothing of this project.

    Files: `serving.json`, the measurements; `assets.extra/tf_serving_warmup_requests`, which go with the model if it passed.
    """

    load_seconds: float = 0.0
    latency_ms: float = 0.0  # of one image, median
    p99_ms: float = 0.0
    memory_mb: float = 0.0  # most that it held beside TensorFlow itself, in 10^6 bytes
    difference: float = 0.0  # largest difference to the evaluator's probabilities


@dataclass(frozen=True)
class Approval(Gate):
    """What persons said of a model that passed every other gate. `by` is empty where nobody was asked."""

    model: str  # the model's identity
    evaluation: str  # digest of the evaluation that was shown
    evaluated: str  # when it was made
    baseline: str | None  # digest of the served model that it was compared with
    shelf: str  # where the model is to go
    waiting: bool = False  # nobody has decided yet
    by: str = ""
    reason: str = ""
    at: str = ""

    @property
    def refusal(self) -> type[GatelineError]:  # type: ignore[override]
        return Waiting if self.waiting else Refused


@dataclass(frozen=True)
class Decision:
    """What a person said of a model, for good."""

    run: int  # the run that asked
    approved: bool
    by: str
    reason: str
    at: str
    evaluation: str  # digest of the evaluation that was shown


@dataclass(frozen=True)
class Pushed(Artifact):
    """A version in the serving directory; `path` is that version. `new` is false where the same model already stood there."""

    version: int
    new: bool
