"""What every settings model shares: strictness and common number types."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
Floor = Annotated[FiniteFloat, Field(gt=0, le=1)]  # a gate of 0 would pass anything
IS_PATH = "path"  # marks a setting that a configuration file states relative to its own folder
FilePath = Annotated[str, Field(min_length=1), AfterValidator(lambda text: str(Path(text).expanduser())), IS_PATH]
Severity = Literal["ignore", "warning", "error"]


class Settings(BaseModel):
    """Unknown keys are refused; values are not coerced from other types, and never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
