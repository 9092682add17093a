"""Parsed modules, stored beside Python's own compiled files: parsing took half of a run that reuses every stage.

Anyone who can write there can run code as the user anyway: the files are as trusted as Python's.
"""

import functools
import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from schemas.disk import atomic_write_text


def key(module: str, source: bytes) -> str:
    """A digest of all that the result of parsing depends on, other modules excepted."""
    return hashlib.sha256(b"\0".join((_parser(), module.encode(), source))).hexdigest()


@functools.cache
def _parser() -> bytes:
    code = [Path(__file__).with_name(name).read_bytes() for name in ("definitions.py", "syntax.py")]
    return hashlib.sha256(b"\0".join([sys.version.encode(), *code])).digest()


def load(source: Path, key: str) -> Any:
    """The JSON values saved for this source under this key; None if there are none, or they cannot be read."""
    try:
        stored = json.loads(_file(source).read_text(encoding="utf-8"))
        return stored["value"] if stored["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # a cache: what cannot be read is computed
        return None


def save(source: Path, key: str, value: Any) -> None:
    """Saves JSON values. It does nothing where Python would not store compiled files, or cannot."""
    if sys.dont_write_bytecode:
        return
    try:
        file = _file(source)
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(file, json.dumps({"key": key, "value": value}))
    except OSError:
        return


def _file(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source))).with_suffix(".parsed")
