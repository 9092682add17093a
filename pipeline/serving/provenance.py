"""A version's `provenance.json`: the facts that gateline uses, and their types.

fault({"model": "3f9a", "origin": "two"})    # "`origin` is not of the kind that gateline writes"
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
    """The facts that gateline uses, and their types. Older versions lack some."""

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


def fault(found: Any) -> str:
    """Why JSON is not a valid provenance: the first invalid fact. Empty if it is valid."""
    try:
        _Provenance.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
    else:
        return ""
    if not first["loc"]:
        return "it holds no facts"
    place = ".".join(map(str, first["loc"]))
    return f"`{place}` is {'missing' if first['type'] == 'missing' else 'not of the kind that gateline writes'}"
