"""The protocol of a gate, its input, and the settings that all gates share."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, TypeVar, cast

from pydantic import Field, FiniteFloat

from schemas import plugins
from schemas.artifacts.comparison import Comparison
from schemas.artifacts.evaluation import BASELINE, CANDIDATE, GateResult
from schemas.contract import slice_title
from schemas.errors import ConfigurationError
from schemas.settings.base import Settings
from schemas.settings.evaluate import Evaluate

G = TypeVar("G")
ROUNDING = 1e-9  # a drop of exactly the allowed value passes, despite floating-point rounding


@dataclass(frozen=True)
class Planned:
    """What is known before an evaluation, and how slices are judged. TFMA's thresholds depend on it."""

    labels: Sequence[int]  # that are used
    images: int  # in the test split
    baseline: bool = False  # a model is served
    fresh: bool = False  # images of a span are held out
    confidence: float = 0.95  # of the bounds of all slices of a gate together
    min_examples: int = 30
    values: Mapping[str, int] = field(default_factory=dict)  # by feature: values with at least min_examples test images

    def max_slices(self, *slices: str) -> int:
        """The largest number of slices that a gate on `slices` can judge: "ink" is each value of ink, "ink=low" one."""

        def matching(name: str) -> int:
            features = [feature for feature in name.split(", ") if "=" not in feature]
            product = math.prod(self.values.get(feature, self.images) for feature in features)
            return min(product, self.images // self.min_examples)

        return max(1, sum(map(matching, slices)))


@dataclass(frozen=True)
class Threshold:
    """A bound that TFMA checks too. Metrics have the names that they have in `Evaluation.metrics()`."""

    metric: str
    slice: str = ""  # "label=3", or "ink" for each value of ink; "" is the whole test split
    lower: float | None = None
    upper: float | None = None
    drop: float | None = None  # against the served model
    family: int = 1  # of metric "upper": the number of slices whose bounds hold at once


@dataclass(frozen=True)
class Measured:
    """What was measured on the test split."""

    planned: Planned
    metrics: dict[str, Any]  # by model, see `Evaluation.metrics()`
    comparisons: Sequence[Comparison] = ()
    names: tuple[str, ...] = ()  # of the labels

    @property
    def labels(self) -> Sequence[int]:
        """The labels that are used."""
        return self.planned.labels

    @property
    def candidate(self) -> dict[str, Any]:
        """Metrics of the candidate: `overall`, `slices`, `corruptions`, `fresh`, `confusion` (the cells that are
        not 0), `calibration`."""
        metrics: dict[str, Any] = self.metrics[CANDIDATE]
        return metrics

    @property
    def baseline(self) -> dict[str, Any] | None:
        """The same of the served model. None where nothing is served."""
        return self.metrics.get(BASELINE)

    def title(self, slice_: str) -> str:
        """A slice with the names of its labels: "label=6 (Shirt)"."""
        return slice_title(slice_, self.names)


class Gate(Protocol):
    """A gate: a frozen pydantic model of its setting, with its verdict; usually a `Floor` or a `Ceiling`."""

    key: ClassVar[str]  # in the configuration
    title: ClassVar[str]  # its description in the list of settings
    default: ClassVar[Any]  # the setting if it is absent. None: no gate. ...: it is required

    def check(self, gates: "Rules", labels: Sequence[int], evaluate: Evaluate) -> None:
        """Called before anything runs. `labels`: those that are used.

        Raises:
            ConfigurationError: the gate could not refuse, or has nothing to judge.
        """

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        """What TFMA checks too: its verdict and the gate's must agree."""

    def evaluate(self, measured: Measured) -> Iterator[GateResult]:
        """A result for each slice that the gate judges."""


class Rules(Settings):
    """Requirements on the test split. accuracy and per_class are required: they have no default."""

    confidence: Annotated[FiniteFloat, Field(gt=0.5, le=0.9999)] = Field(
        0.95, description="joint one-sided confidence of the upper bounds of all slices of a gate"
    )
    min_examples: Annotated[int, Field(ge=1, le=1000)] = Field(
        30, description="minimum test images: smaller slices are shown but not judged; a smaller test split is refused"
    )

    if TYPE_CHECKING:

        def __init__(self, **settings: Any) -> None: ...

    def stated(self) -> dict[str, Gate]:
        """The gates by key, without those that are not set."""
        return {key: gate for key in kinds() if (gate := getattr(self, key)) is not None}

    def get(self, kind: type[G]) -> G:
        """The gate of a kind that is always set."""
        return cast(G, self.stated()[kind.key])  # type: ignore[attr-defined]

    def check(self, labels: Sequence[int], evaluate: Evaluate) -> None:
        """Raises ConfigurationError if guessing among these labels passes, or if a gate has nothing to judge."""
        for gate in self.stated().values():
            gate.check(self, labels, evaluate)

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        """What TFMA checks too."""
        for gate in self.stated().values():
            yield from gate.thresholds(planned)

    def evaluate(self, measured: Measured) -> list[GateResult]:
        """The results of all gates."""
        return [result for gate in self.stated().values() for result in gate.evaluate(measured)]


@functools.cache
def kinds() -> dict[str, type[Gate]]:
    """Every kind by its key in the configuration.

    Raises:
        ConfigurationError: an installed gate cannot be loaded, has another key than its entry point, or a reserved one.
    """
    gates: dict[str, type[Gate]] = plugins.kinds(__package__, "gateline.gates")
    for name, kind in gates.items():
        if kind.key != name or name in Rules.model_fields:
            wrong = "is a setting of gates" if kind.key == name else f"differs from its key {kind.key}"
            cause = f"gate {name} of {kind.__module__} cannot be loaded: its name {wrong}"
            raise ConfigurationError(cause, "Rename its entry point, or its key, or uninstall the package.")
    return gates
