"""Gate `ece`: the largest expected calibration error, the distance between confidence and accuracy."""

from typing import Annotated, ClassVar

from pydantic import Field, FiniteFloat

from schemas.gates import Ceiling


class Ece(Ceiling):
    """A ceiling on the mean distance between confidence and accuracy, over bins of confidence (Guo et al. 2017)."""

    key: ClassVar[str] = "ece"
    title: ClassVar[str] = "largest expected calibration error"
    metric: ClassVar[str] = "ece"
    text: ClassVar[str] = "expected calibration error"

    root: Annotated[FiniteFloat, Field(gt=0, lt=1)]


KIND = Ece
