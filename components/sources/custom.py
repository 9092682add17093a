"""Source `custom`: a class of the user's own that lists images and reads them.

class Scans:
    def __init__(self, folder: str) -> None: ...                 # source.options
    def rows(self) -> Iterable[Row]: ...                         # every image, in an order that stays
    def content(self, name: str) -> bytes: ...                   # the encoded image
"""

import functools
import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from components.sources.fingerprint import Digests, Fingerprint, code_of
from components.sources.reading import Place
from components.sources.rows import Rows, RowsReader
from schemas.errors import ConfigurationError, DataError, EnvironmentFailure, GatelineError, is_transient
from schemas.settings.source import Custom
from schemas.text import nfc, printable

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """An image of a source of your own."""

    name: str  # what `content` is called with; unreadable images are listed by it
    label: str | int  # a name, or a number from 0
    split: str = ""  # train, validation or test, of all images or of none
    group: str = ""  # what stays in one split
    metadata: dict[str, str] = field(default_factory=dict)  # what evaluate.slices may name


class ImageSource(Protocol):
    """A source of your own. It is made anew on each worker, with `source.options` as keyword arguments."""

    def rows(self) -> Iterable[Row]:
        """Every image, in an order that stays the same."""

    def content(self, name: str) -> bytes:
        """The encoded image of a row. An OSError or ValueError sets the image aside, with its message; one of the
        network or the disk, as ConnectionError or TimeoutError, ends the run instead, which can be repeated.
        """

    # Optional: `state(self) -> str` changes whenever the images change. Without it, a run looks at the rows alone.


@dataclass
class CustomReader(RowsReader):
    """Reads the images that a class of the user's lists."""

    settings: Custom

    @property
    def where(self) -> str:
        return self.settings.custom

    @functools.cached_property
    def _listed(self) -> list[Row]:
        """The rows, listed once: a reader takes them to the workers, and another reader lists them anew."""
        return listed(self.settings)

    @functools.cached_property
    def _rows(self) -> Rows:
        rows = self._listed
        metadata = sorted({name for row in rows for name in row.metadata})
        return Rows(
            tuple(nfc(row.label) if isinstance(row.label, str) else row.label for row in rows),
            tuple(row.split for row in rows) if any(row.split for row in rows) else (),
            tuple(row.group for row in rows),
            {name: tuple(str(row.metadata.get(name, "")) for row in rows) for name in metadata},
        )

    @property
    def rows(self) -> Rows:
        return self._rows

    @property
    def images(self) -> list[str]:
        return [row.name for row in self._listed]

    def contents(self, wanted: list[int]) -> Iterator[tuple[str, bytes | DataError]]:
        source = opened(self.settings)
        for name in (self._listed[row].name for row in wanted):
            title = printable(name)
            try:
                content: bytes | DataError = source.content(name)
                if not isinstance(content, bytes):
                    raise TypeError(f"content returned {type(content).__name__}, not bytes")
            except (OSError, ValueError) as error:
                if is_transient(error):
                    raise _failed(self.settings, f"content({name!r})", error) from error
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                content = DataError(f"{title} cannot be read: {reason}")
            except Exception as error:
                raise _failed(self.settings, f"content({name!r})", error) from error
            yield title, content


def opened(settings: Custom) -> ImageSource:
    """The user's class, with its options.

    Raises:
        ConfigurationError: there is no such class, or it refuses its options.
    """
    module, _, name = settings.custom.partition(":")
    try:
        kind: Callable[..., ImageSource] = getattr(importlib.import_module(module), name)
    except Exception as error:
        cause = f"source.custom {settings.custom} cannot be loaded: {type(error).__name__}: {error}"
        raise ConfigurationError(
            cause, "Name a class as module:Class, of the current directory or installed."
        ) from error
    try:
        return kind(**settings.options)
    except Exception as error:
        raise _failed(settings, f"__init__ with source.options {settings.options}", error) from error


def fingerprint(settings: Custom, place: Place, digests: Digests) -> Fingerprint:
    """What the class states, and the code of its module."""
    del place, digests
    code = "\n".join(code_of(settings.custom.partition(":")[0]))
    return Fingerprint(Path(), {"": state(settings), "code": hashlib.sha256(code.encode()).hexdigest()})


def state(settings: Custom) -> str:
    """A digest that changes with the images, by what the class says, or by its rows."""
    source = opened(settings)
    if (stated := getattr(source, "state", None)) is not None:
        return _digest([_call_user_code(settings, "state()", stated)])
    return _digest([astuple(row) for row in listed(settings)])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()


def listed(settings: Custom) -> list[Row]:
    """The rows of the user's class.

    Raises:
        DataError: the class fails, or gives something else.
        EnvironmentFailure: the network or the disk failed.
    """
    rows = _call_user_code(settings, "rows()", lambda: list(opened(settings).rows()))
    for row in rows:
        if not isinstance(row, Row):
            raise _failed(settings, "rows()", TypeError(f"it returned {type(row).__name__}, expected gateline.Row"))
        if not isinstance(row.label, (str, int)) or row.label == "" or (isinstance(row.label, int) and row.label < 0):
            raise DataError(f"{row.name} of {settings.custom} has no label", "Labels are names, or numbers from 0.")
    return rows


def _call_user_code(settings: Custom, method: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except Exception as error:
        raise _failed(settings, method, error) from error


def _failed(settings: Custom, method: str, error: Exception) -> GatelineError:
    cause = f"{method} of {settings.custom} failed: {type(error).__name__}: {error}"
    if is_transient(error):
        return EnvironmentFailure(cause, "Run again later.")
    return DataError(cause, "Fix the class; -v shows where.")
