"""Gate `drop`: the largest drop of accuracy against the served model, without allowance for noise."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, FiniteFloat, RootModel

from schemas.artifacts.evaluation import GateResult
from schemas.gates import ROUNDING, Measured, Planned, Rules, Threshold
from schemas.gates._bounds import OVERALL, check_margin
from schemas.settings.evaluate import Evaluate


class Drop(RootModel[Annotated[FiniteFloat, Field(ge=0, lt=1)]]):
    """A ceiling on the accuracy of the served model minus that of the candidate."""

    model_config = ConfigDict(frozen=True, strict=True)
    key: ClassVar[str] = "drop"
    title: ClassVar[str] = (
        "largest drop of accuracy against the served model, without allowance for noise; default: only paired decides"
    )
    default: ClassVar[Any] = None

    def check(self, gates: Rules, labels: Sequence[int], evaluate: Evaluate) -> None:
        check_margin(self.key, self.root, gates, len(labels))

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        if planned.baseline:
            yield Threshold("accuracy", drop=self.root + ROUNDING)

    def evaluate(self, measured: Measured) -> Iterator[GateResult]:
        if measured.baseline is None:
            return
        before, now = measured.baseline[OVERALL]["accuracy"], measured.candidate[OVERALL]["accuracy"]
        drop, bound = before - now, self.root
        reason = (
            f"accuracy {now:.4f} is {drop:.4f} below the served model's {before:.4f}; gates.drop allows {bound:.4f}"
        )
        yield GateResult(
            self.key, OVERALL, f"≤ {bound:.4f}", f"{drop:.4f}", drop <= bound + ROUNDING, reason, bound, drop,
            margin=f"{bound - drop:+.4f}", upper=True,
        )  # fmt: skip


KIND = Drop
