"""What every settings model shares: strictness and common number types."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
Floor = Annotated[FiniteFloat, Field(gt=0, le=1)]  # a gate of 0 would pass anything
Severity = Literal["ignore", "warning", "error"]


class Settings(BaseModel):
    """Unknown keys are refused; values are not coerced from other types, and never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
