"""Gate `corruptions`: the smallest accuracy on test images that are corrupted, by the kind of corruption."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import ConfigDict, RootModel

from schemas.artifacts.evaluation import GateResult
from schemas.errors import ConfigurationError
from schemas.gates import Measured, Planned, Rules, Share, Threshold
from schemas.gates._bounds import check_floor, evaluate_slice
from schemas.settings.evaluate import Corruption, Evaluate


class Corruptions(RootModel[dict[Corruption, Share]]):
    """Floors on the accuracy on corrupted images, judged as slices are."""

    model_config = ConfigDict(frozen=True, strict=True)
    key: ClassVar[str] = "corruptions"
    title: ClassVar[str] = "smallest accuracy by corruption"
    default: ClassVar[Any] = {}

    def check(self, gates: Rules, labels: Sequence[int], evaluate: Evaluate) -> None:
        for name, floor in self.root.items():
            check_floor(f"{self.key}.{name}", floor, 1 / len(labels), len(labels))
            if name not in evaluate.corruptions or not evaluate.corrupted:
                cause = f"gates.corruptions names {name}, but evaluate.corruptions does not include it"
                raise ConfigurationError(cause, "Add it to evaluate.corruptions, or remove the gate.")
        if self.root and evaluate.corrupted < gates.min_examples:
            cause = f"gates.corruptions is judged on {evaluate.corrupted} images (evaluate.corrupted)"
            cause += f"; gates.min_examples requires {gates.min_examples}"
            raise ConfigurationError(cause, "Raise evaluate.corrupted.")

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        for name, floor in self.root.items():
            yield Threshold("upper", f"corruption={name}", lower=floor, family=len(self.root))

    def evaluate(self, measured: Measured) -> Iterator[GateResult]:
        rows = measured.candidate["corruptions"]
        for name, floor in self.root.items():
            row = rows.get(name)
            yield evaluate_slice(f"{self.key}.{name}", f"corruption={name}", floor, row, measured, len(self.root))


KIND = Corruptions
