"""Bounds on metrics, which most gates are: a floor or a ceiling on the whole test split, or a floor on slices."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, FiniteFloat, RootModel

from schemas.artifacts.evaluation import GateResult
from schemas.errors import ConfigurationError
from schemas.gates._family import family_wise, upper_bound
from schemas.gates._protocol import Measured, Planned, Rules, Threshold
from schemas.settings.evaluate import Evaluate

OVERALL = "overall"
Share = Annotated[FiniteFloat, Field(gt=0, le=1)]  # a floor of 0 would pass anything
NAN = "the model's probabilities are not numbers"
STRICTER = "Set a stricter bound: a gate must be able to refuse."


class Bound(RootModel[Any]):
    """A bound on one metric of the whole test split. A kind states the class variables and the type of `root`."""

    model_config = ConfigDict(frozen=True, strict=True)
    key: ClassVar[str]
    title: ClassVar[str]
    default: ClassVar[Any] = None
    metric: ClassVar[str] = ""  # its name in `Evaluation.metrics()`; "": `measure` computes it, and TFMA does not
    text: ClassVar[str]  # the name of the metric in a refusal
    sign: ClassVar[str]  # "≥" or "≤"

    def measure(self, measured: Measured) -> float:
        """The value that is compared with the bound. Not finite: the model is refused."""
        return float(measured.candidate[OVERALL][self.metric])

    def evaluate(self, measured: Measured) -> Iterator[GateResult]:
        value, bound, required = self.measure(measured), self.root, f"{self.sign} {self.root:.4f}"
        floor = self.sign == "≥"
        # argmax turns a probability of NaN into some class: the loss shows it, accuracy does not.
        if not math.isfinite(value) or (floor and not math.isfinite(measured.candidate[OVERALL]["loss"])):
            yield unmeasurable(self.key, OVERALL, required, bound)
            return
        margin = value - bound if floor else bound - value
        limit = f"requires {bound:.4f} ({-margin:.4f} short)" if floor else f"allows {bound:.4f} ({-margin:.4f} over)"
        reason = "" if margin >= 0 else f"{self.text} is {value:.4f}; gates.{self.key} {limit}"
        yield GateResult(
            self.key, OVERALL, required, f"{value:.4f}", margin >= 0, reason, bound, value, margin=f"{margin:+.4f}",
            upper=not floor,
        )  # fmt: skip


class Floor(Bound):
    """Refuses a metric below the bound."""

    sign = "≥"

    def guessed(self, classes: int) -> float:
        """The metric of a model that guesses: a floor must be above."""
        return 1 / classes

    def check(self, gates: Rules, labels: Sequence[int], evaluate: Evaluate) -> None:
        check_floor(self.key, self.root, self.guessed(len(labels)), len(labels))

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        if self.metric:
            yield Threshold(self.metric, lower=self.root)


class Ceiling(Bound):
    """Refuses a metric above the bound."""

    sign = "≤"

    def guessed(self, classes: int) -> float:
        """The metric of a model that guesses: a ceiling must be below."""
        return 1 - 1 / classes

    def check(self, gates: Rules, labels: Sequence[int], evaluate: Evaluate) -> None:
        if self.root >= (guessed := self.guessed(len(labels))):
            cause = f"gates.{self.key} is {self.root:g}; guessing among {len(labels)} classes gives {guessed:.3g}"
            raise ConfigurationError(cause, STRICTER)

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        if self.metric:
            yield Threshold(self.metric, upper=self.root)


def check_floor(key: str, floor: float, guessed: float, classes: int) -> None:
    """Raises ConfigurationError if a model that guesses reaches the floor."""
    if floor <= guessed:
        cause = f"gates.{key} is {floor:g}; guessing among {classes} classes gives {guessed:.3g}"
        raise ConfigurationError(cause, STRICTER)


def check_margin(key: str, margin: float, gates: Rules, classes: int) -> None:
    """Raises ConfigurationError if losing the margin would allow a model that guesses."""
    accuracy = gates.stated()["accuracy"].root  # type: ignore[attr-defined]
    if margin >= accuracy - 1 / classes:
        cause = f"gates.{key} is {margin:g}; below gates.accuracy {accuracy:g} that allows a model that guesses"
        raise ConfigurationError(cause, STRICTER)


def evaluate_slice(
    key: str, slice_: str, floor: float, row: dict[str, Any] | None, measured: Measured, family: int = 1
) -> GateResult:
    """Compares the upper confidence bound with the floor: a few unlucky images must not refuse a model.

    `family`: the number of slices that the gate judges. The bounds of all of them hold at once.
    """
    required, title, planned = f"≥ {floor:.4f}", measured.title(slice_), measured.planned
    if row is None:
        reason = f"{title} has no test examples, so gates.{key} cannot be judged"
        return GateResult(key, slice_, required, "no examples", False, reason, floor, on=title)
    if row["count"] < planned.min_examples:
        few = f"{row['accuracy']:.4f} of {row['count']:,}"
        return GateResult(key, slice_, required, few, True, "", floor, row["accuracy"], "too few examples", on=title)
    if not math.isfinite(row["loss"]):
        return unmeasurable(key, slice_, required, floor, title)
    accuracy, confidence = row["accuracy"], family_wise(planned.confidence, family)
    upper = upper_bound(round(accuracy * row["count"]), row["count"], confidence)
    level = f"{100 * planned.confidence:g}% confidence" + (f" for {family:,} slices together" if family > 1 else "")
    at_most = f"accuracy on {title} is {accuracy:.4f}, at {level} at most {upper:.4f}"
    return GateResult(
        key, slice_, required, f"{accuracy:.4f}, at most {upper:.4f}", upper >= floor,
        f"{at_most}; gates.{key} requires {floor:.4f} ({floor - upper:.4f} short)", floor, upper,
        margin=f"{upper - floor:+.4f}", on=title, level=level,
    )  # fmt: skip


def unmeasurable(key: str, slice_: str, required: str, bound: float, title: str = "") -> GateResult:
    """A refusal: NaN passes no gate."""
    title = title or slice_
    return GateResult(key, slice_, required, "not a number", False, f"{title}: {NAN}", bound, on=title)


def points(difference: float) -> str:
    """A difference of accuracies in percentage points: "-0.41 points"."""
    return f"{100 * difference:+.2f} points"
