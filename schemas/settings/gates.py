"""The settings of all gates: one key for each kind in `schemas.gates`, and how slices are judged.

Gates(accuracy=0.9, per_class=0.8).evaluate(measured)   # [GateResult("accuracy", ...), ...]
"""

from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model, model_validator

from schemas.gates import Rules, kinds
from schemas.gates.budget import Budget
from schemas.gates.paired import Paired


class Together(Rules):
    """Checks across gates."""

    @model_validator(mode="after")
    def _budget_can_be_met(self) -> "Together":
        budget, paired = self.get(Budget), self.get(Paired)
        if budget.margin < paired.margin:
            cause = f"budget.margin {budget.margin:g} is smaller than paired.margin {paired.margin:g}"
            raise ValueError(f"{cause}: one equivalent model would use it up")
        return self


def _field(kind: Any) -> tuple[Any, Any]:
    described = Field(kind.default, description=kind.title, validate_default=True)
    return (kind | None if kind.default is None else kind), described


if TYPE_CHECKING:
    Gates = Rules
else:
    fields = {key: _field(kind) for key, kind in kinds().items()}
    Gates = create_model("Gates", __base__=Together, __module__=__name__, __doc__=Rules.__doc__, **fields)
