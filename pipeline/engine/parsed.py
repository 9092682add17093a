"""Parsed modules, stored beside Python's own compiled files: parsing took half of a run that reuses every stage.

Whoever can write there can already run code as the user: the files are as trusted as Python's.
"""

import functools
import hashlib
import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

from schemas.files import atomic_write


def key(module: str, source: bytes) -> str:
    """A digest of all that the result of parsing depends on, other modules excepted."""
    return hashlib.sha256(b"\0".join((_parser(), module.encode(), source))).hexdigest()


@functools.cache
def _parser() -> bytes:
    code = [Path(__file__).with_name(name).read_bytes() for name in ("definitions.py", "syntax.py")]
    return hashlib.sha256(b"\0".join([sys.version.encode(), *code])).digest()


def load(source: Path, key: str) -> Any:
    """What was saved for this source under this key; None if there is nothing or it cannot be read."""
    try:
        stored, value = pickle.loads(_file(source).read_bytes())
    except Exception:  # unpickling a damaged file raises anything
        return None
    return value if stored == key else None


def save(source: Path, key: str, value: Any) -> None:
    """Saves a value. It does nothing where Python would not store compiled files, or cannot."""
    if sys.dont_write_bytecode:
        return
    try:
        file = _file(source)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary:
            temporary.write_bytes(pickle.dumps((key, value)))
    except OSError:
        return


def _file(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source))).with_suffix(".parsed")
