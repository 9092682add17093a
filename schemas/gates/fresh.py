"""Gate `fresh`: the smallest accuracy on the newest images."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import ConfigDict, RootModel

from schemas.artifacts.evaluation import GateResult
from schemas.gates import Measured, Planned, Rules, Share, Threshold
from schemas.gates._bounds import check_floor, evaluate_slice
from schemas.settings.evaluate import Evaluate


class Fresh(RootModel[Share]):
    """A floor on the images that are held out of the newest span, judged as slices are."""

    model_config = ConfigDict(frozen=True, strict=True)
    key: ClassVar[str] = "fresh"
    title: ClassVar[str] = "smallest accuracy on the fresh slice of the newest span, judged as slices are"
    default: ClassVar[Any] = None

    def check(self, gates: Rules, labels: Sequence[int], evaluate: Evaluate) -> None:
        check_floor(self.key, self.root, 1 / len(labels), len(labels))

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        if planned.fresh:
            yield Threshold("upper", "fresh=yes", lower=self.root)

    def evaluate(self, measured: Measured) -> Iterator[GateResult]:
        row = measured.candidate["fresh"]
        if row is None:  # before the first span
            few = "too few examples"
            yield GateResult(self.key, "fresh", f"≥ {self.root:.4f}", "no span yet", True, "", self.root, None, few)
        else:
            yield evaluate_slice(self.key, "fresh", self.root, row, measured)


KIND = Fresh
