"""Gate `slices`: the smallest accuracy on slices of the test split."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import ConfigDict, RootModel

from schemas.artifacts.evaluation import GateResult
from schemas.errors import ConfigurationError
from schemas.gates import Measured, Planned, Rules, Share, Threshold
from schemas.gates._bounds import check_floor, evaluate_slice
from schemas.settings.evaluate import Evaluate, bins


class Slices(RootModel[dict[str, Share]]):
    """Floors by slice: `ink` is on each value of ink, `ink=below 0.1` on one, `label=1, ink` on one label's."""

    model_config = ConfigDict(frozen=True, strict=True)
    key: ClassVar[str] = "slices"
    title: ClassVar[str] = "minimum accuracy by slice: a feature (ink) or one value (ink=below 0.1)"
    default: ClassVar[Any] = {}

    def check(self, gates: Rules, labels: Sequence[int], evaluate: Evaluate) -> None:
        for name, floor in self.root.items():
            check_floor(f"{self.key}.{name}", floor, 1 / len(labels), len(labels))
        slicings = [", ".join(features) for features in evaluate.features]
        for name in self.root:
            features = ", ".join(part.partition("=")[0] for part in name.split(", "))
            if features not in slicings:
                remedy = f"evaluate.slices has {'; '.join(slicings)}. Add it there, or correct the gate."
                raise ConfigurationError(f"gates.slices names {name}, but the evaluation has no such slice", remedy)
            for part in name.split(", "):
                _check_value(name, part, labels, evaluate)

    def thresholds(self, planned: Planned) -> Iterator[Threshold]:
        for name, floor in self.root.items():
            yield Threshold("upper", name, lower=floor, family=planned.max_slices(*self.root))

    def evaluate(self, measured: Measured) -> Iterator[GateResult]:
        rows, family = measured.candidate["slices"], measured.planned.max_slices(*self.root)
        for name, floor in self.root.items():
            for slice_ in _matching(name, rows):
                yield evaluate_slice(f"{self.key}.{name}", slice_, floor, rows.get(slice_), measured, family)


def _check_value(name: str, part: str, labels: Sequence[int], evaluate: Evaluate) -> None:
    feature, equals, value = part.partition("=")
    if not equals:
        return
    if feature == "label" and value not in map(str, labels):
        unused = value in map(str, range(labels[-1]))
        why = f"label {value} is declared unused" if unused else f"labels are {labels[0]} to {labels[-1]}"
        raise ConfigurationError(f"gates.slices names {name}; {why}", "Correct the gate.")
    if feature in evaluate.derived and value not in (known := bins(evaluate.derived[feature])):
        remedy = f"Its values are {'; '.join(known)}. Correct the gate."
        raise ConfigurationError(f"gates.slices names {name}, but {feature} has no such slice", remedy)


def _matching(name: str, rows: dict[str, Any]) -> list[str]:
    """The slices that a gate judges. Includes slices without examples, so that they are refused."""
    return [slice_ for slice_ in rows if _matches(name.split(", "), slice_.split(", "))] or [name]


def _matches(wanted: list[str], parts: list[str]) -> bool:
    if len(wanted) != len(parts):
        return False
    return all(part == (has if "=" in part else has.partition("=")[0]) for part, has in zip(wanted, parts, strict=True))


KIND = Slices
