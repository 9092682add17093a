"""Gate `accuracy`: the smallest accuracy on the whole test split."""

from collections.abc import Iterator
from typing import Any, ClassVar

from schemas.artifacts.evaluation import GateResult
from schemas.gates import Floor, Measured, Share
from schemas.gates._bounds import OVERALL


class Accuracy(Floor):
    """A floor on accuracy. It is required: there is no default."""

    key: ClassVar[str] = "accuracy"
    title: ClassVar[str] = "smallest accuracy overall"
    default: ClassVar[Any] = ...
    metric: ClassVar[str] = "accuracy"
    text: ClassVar[str] = "accuracy"

    root: Share

    def evaluate(self, measured: Measured) -> Iterator[GateResult]:
        if (count := measured.candidate[OVERALL]["count"]) >= (required := measured.planned.min_examples):
            yield from super().evaluate(measured)
            return
        reason = f"the test split has {count:,} usable images; gates.min_examples requires {required:,}"
        yield GateResult(self.key, OVERALL, f"≥ {self.root:.4f}", f"of {count:,} images", False, reason, self.root)


KIND = Accuracy
