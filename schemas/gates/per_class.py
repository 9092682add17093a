"""Gate `per_class`: the smallest accuracy on each class."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import ConfigDict, RootModel

from schemas.artifacts.evaluation import GateResult
from schemas.gates import Measured, Planned, Rules, Share, Threshold
from schemas.gates._bounds import check_floor, evaluate_slice
from schemas.settings.evaluate import Evaluate


class PerClass(RootModel[Share]):
    """A floor on the accuracy of each class. Classes with few images are not judged; refuses if none can be.

    Classes that the contract declares unused are left out.
    """

    model_config = ConfigDict(frozen=True, strict=True)
    key: ClassVar[str] = "per_class"
    title: ClassVar[str] = "minimum accuracy of each class; refuses only if the upper confidence bound is lower"
    default: ClassVar[Any] = ...

    def check(self, gates: Rules, labels: Sequence[int], evaluate: Evaluate) -> None:
        check_floor(self.key, self.root, 1 / len(labels), len(labels))

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        for label in planned.labels:
            yield Threshold("upper", f"label={label}", lower=self.root, family=planned.max_slices("label"))

    def evaluate(self, measured: Measured) -> Iterator[GateResult]:
        rows, family = measured.candidate["slices"], measured.planned.max_slices("label")
        slices = [f"label={label}" for label in measured.labels]
        results = [evaluate_slice(self.key, slice_, self.root, rows.get(slice_), measured, family) for slice_ in slices]
        yield from results
        if all(result.verdict == "too few examples" for result in results):
            reason = (
                f"no class has gates.min_examples ({measured.planned.min_examples}) test images, "
                "so gates.per_class cannot be judged"
            )
            required = f"≥ {self.root:.4f}"
            yield GateResult(self.key, "every class", required, "too few examples", False, reason, self.root)


KIND = PerClass
