"""Gate `per_class`: the smallest accuracy on each class."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import ConfigDict, RootModel

from schemas.artifacts.evaluation import GateResult
from schemas.gates import Measured, Planned, Rules, Share, Threshold
from schemas.gates._bounds import check_floor, judge_slice
from schemas.settings.evaluate import Evaluate


class PerClass(RootModel[Share]):
    """A floor on the accuracy of each class. Classes with few images are not judged; refuses if none can be."""

    model_config = ConfigDict(frozen=True, strict=True)
    key: ClassVar[str] = "per_class"
    title: ClassVar[str] = "smallest accuracy on each class: refused if even the upper confidence bound is below"
    default: ClassVar[Any] = ...

    def check(self, gates: Rules, classes: int, evaluate: Evaluate) -> None:
        check_floor(self.key, self.root, 1 / classes, classes)

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        for label in range(planned.classes):
            yield Threshold("upper", f"label={label}", lower=self.root)

    def judge(self, measured: Measured) -> Iterator[GateResult]:
        rows = measured.candidate["slices"]
        slices = [f"label={label}" for label in range(measured.classes)]
        results = [judge_slice(self.key, slice_, self.root, rows.get(slice_), measured) for slice_ in slices]
        yield from results
        if all(result.verdict == "too few examples" for result in results):
            reason = (
                f"no class has gates.min_examples ({measured.min_examples}) test images, "
                "so gates.per_class cannot be judged"
            )
            required = f"≥ {self.root:.4f}"
            yield GateResult(self.key, "every class", required, "too few examples", False, reason, self.root)


KIND = PerClass
