"""The base of all settings models, and common number types."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from schemas.errors import ConfigurationError

Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
IS_PATH = "path"  # marks a setting that a configuration file states relative to its own folder
UNKEYED = "unkeyed"  # marks a setting that states where data is, not what it is: no part of a cache key
FilePath = Annotated[str, Field(min_length=1), AfterValidator(lambda text: str(Path(text).expanduser())), IS_PATH]
Severity = Literal["ignore", "warning", "error"]


def _variable(name: str) -> str:
    if not re.fullmatch("[A-Z_][A-Z0-9_]*", name):  # not shown: it may be the secret
        raise ValueError(
            "this is not the name of an environment variable (capitals, digits, _), which would hold the secret"
        )
    return name


Variable = Annotated[str, AfterValidator(_variable)]  # an environment variable that holds a secret


class Settings(BaseModel):
    """Refuses unknown keys; does not convert types; immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def secret(variable: str) -> str:
    """The value of an environment variable.

    Raises:
        ConfigurationError: it is not set.
    """
    if not (value := os.environ.get(variable)):
        raise ConfigurationError(f"the environment variable {variable} is not set", "Set it for this process.")
    return value
