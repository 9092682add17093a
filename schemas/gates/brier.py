"""Gate `brier`: the largest Brier score, which grows with wrong and with overconfident predictions."""

from typing import Annotated, ClassVar

from pydantic import Field, FiniteFloat

from schemas.gates import Ceiling


class Brier(Ceiling):
    """A ceiling on the mean squared distance of the probabilities to the one-hot label, 0 to 2 (Brier 1950)."""

    key: ClassVar[str] = "brier"
    title: ClassVar[str] = "largest Brier score, 0 to 2"
    metric: ClassVar[str] = "brier"
    text: ClassVar[str] = "Brier score"

    root: Annotated[FiniteFloat, Field(gt=0, lt=2)]


KIND = Brier
