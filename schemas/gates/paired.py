"""Gate `paired`: the candidate and the served model on the same images."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, FiniteFloat

from schemas.artifacts.comparison import PairedTest, Verdict
from schemas.artifacts.evaluation import BASELINE, GateResult
from schemas.gates import Measured, Planned, Rules, Threshold
from schemas.gates._bounds import OVERALL, check_margin, points
from schemas.settings.base import Settings
from schemas.settings.evaluate import Evaluate

Policy = Literal["pass", "refuse"]
VERDICTS = get_args(Verdict)


class Paired(Settings):
    """McNemar's test of the candidate and the served model on the same images, and the action for each verdict."""

    key: ClassVar[str] = "paired"
    title: ClassVar[str] = "the comparison with the served model"
    default: ClassVar[Any] = {}

    margin: Annotated[FiniteFloat, Field(gt=0, lt=1)] = Field(
        0.0041, description="the largest loss of accuracy that counts as equivalent"
    )  # with 10,000 images, keeps both error rates in bounds if the models disagree on up to 1.6 % of them
    alpha: Annotated[FiniteFloat, Field(gt=0, le=0.2)] = Field(
        0.05, description="level of the test; the interval covers 1 - 2 alpha"
    )
    better: Policy = Field("pass", description="action if the candidate is significantly better")
    equivalent: Policy = Field("pass", description="no worse than the margin, at this level")
    worse: Policy = Field("refuse", description="action if the candidate is significantly worse")
    undecided: Policy = Field("refuse", description="too few test images to decide")

    def check(self, gates: Rules, labels: Sequence[int], evaluate: Evaluate) -> None:
        check_margin(f"{self.key}.margin", self.margin, gates, len(labels))

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        yield from ()

    def evaluate(self, measured: Measured) -> Iterator[GateResult]:
        allowed = [verdict for verdict in VERDICTS if getattr(self, verdict) == "pass"]
        for comparison in measured.comparisons:
            if comparison.model == BASELINE and comparison.test:
                yield self._result(comparison.message, comparison.test, allowed)

    def _result(self, message: str, test: PairedTest, allowed: list[str]) -> GateResult:
        low = test.interval[0]
        reason = f"{message}; gates.paired allows: {', '.join(allowed) or 'nothing'}"
        if test.verdict == "undecided":
            reason += f"; with a margin above {points(-low).lstrip('+')} it would be equivalent"
        return GateResult(
            self.key, OVERALL, " or ".join(allowed) or "nothing", f"{test.verdict}, {points(test.difference)}",
            test.verdict in allowed, reason, -self.margin, test.difference, margin=f"{low + test.margin:+.4f}",
        )  # fmt: skip


KIND = Paired
