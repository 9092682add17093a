"""Validation of a version's `provenance.json`: the facts that gateline uses, and their types.

fault({"model": "3f9a", "origin": "two"})    # "`origin` is invalid"
"""

import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

PROVENANCE = "provenance.json"


class _Facts(BaseModel):
    model_config = ConfigDict(strict=True)


class _File(_Facts):
    size: int
    sha256: str


class _Rollback(_Facts):
    of: int
    to: int
    reason: str


class _Approved(_Facts):
    by: str


class _Provenance(_Facts):
    """The facts that gateline uses, and their types. Older versions of gateline wrote fewer."""

    model: str
    identity: str | None = None
    files: dict[str, _File] | None = None
    version: int | None = None
    origin: int = 0
    accuracy: float | None = None
    test: str = ""
    published: Annotated[str, AfterValidator(datetime.datetime.fromisoformat)] | None = None
    approved: _Approved | None = None
    rollback: _Rollback | None = None


def fault(content: Any) -> str:
    """Why a JSON value is not a valid provenance: the first invalid fact. Empty if it is valid."""
    try:
        _Provenance.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
    else:
        return ""
    if not first["loc"]:
        return "it is not a JSON object"
    name = ".".join(map(str, first["loc"]))
    return f"`{name}` is {'missing' if first['type'] == 'missing' else 'invalid'}"
