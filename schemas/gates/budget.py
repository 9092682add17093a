"""Gate `budget`: the largest loss of accuracy against the best model ever served, over all versions."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, FiniteFloat

from schemas.artifacts.comparison import Comparison
from schemas.artifacts.evaluation import BEST, GateResult
from schemas.gates import ROUNDING, Measured, Planned, Rules, Threshold
from schemas.gates._bounds import OVERALL, check_margin, points
from schemas.settings.base import Settings
from schemas.settings.evaluate import Evaluate


class Budget(Settings):
    """The candidate against the best model ever served. Each candidate is another test on the same images, so the
    level of this test is far stricter than that of the paired one: with the defaults, 50 tries stay within the margin.
    """

    key: ClassVar[str] = "budget"
    title: ClassVar[str] = "largest loss against the best model ever served"
    default: ClassVar[Any] = {}

    margin: Annotated[FiniteFloat, Field(gt=0, lt=1)] = Field(
        0.01, description="largest accuracy loss below the best version ever served"
    )
    alpha: Annotated[FiniteFloat, Field(gt=0, le=0.2)] = Field(0.0005, description="level of the test")

    def check(self, gates: Rules, labels: Sequence[int], evaluate: Evaluate) -> None:
        check_margin(f"{self.key}.margin", self.margin, gates, len(labels))

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        yield from ()

    def evaluate(self, measured: Measured) -> Iterator[GateResult]:
        for comparison in measured.comparisons:
            if comparison.model == BEST:
                yield self._result(comparison)

    def _result(self, comparison: Comparison) -> GateResult:
        """Compares the lower bound on the same images if the best model is kept, else its recorded accuracy."""
        test, difference = comparison.test, comparison.difference
        lowest = test.interval[0] if test else difference
        passed = test.verdict in ("better", "equivalent") if test else lowest >= -self.margin - ROUNDING
        allowed = points(self.margin).lstrip("+")
        return GateResult(
            self.key, OVERALL, f"≥ {points(-self.margin)}",
            points(difference) + (f", at least {points(lowest)}" if test else ", as recorded"), passed,
            f"{comparison.message}; gates.budget allows a loss of {allowed} against the best model ever served",
            -self.margin, lowest, margin=f"{lowest + self.margin:+.4f}",
        )  # fmt: skip


KIND = Budget
