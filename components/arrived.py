"""Which spans are complete now, found while planning."""

import datetime
import hashlib
import os
import re
from pathlib import Path

from pipeline.component import Unkeyed, component
from schemas.artifacts import Arrivals
from schemas.errors import ConfigurationError
from schemas.spans import READY, Spans, in_order

DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")


@component(kind="resolver")
def arrived(*, spans: Unkeyed[Spans]) -> Arrivals:
    """The spans that are complete, in the order of their names (span-9 before span-10).

    A span is known by its files' names, sizes and times, so that a thousand images are not read to find out that nothing
    is new; touching a file makes it be read again, and the same content changes nothing behind that.

    Raises:
        ConfigurationError: there is no such directory.
    """
    directory = Path(spans.directory).expanduser()
    if not directory.is_dir():
        raise ConfigurationError(f"spans.directory {directory} is no directory", "Make it, or name another: --set spans.directory=FOLDER")
    complete = [p for p in directory.glob("span-*") if p.is_dir() and (spans.ready == "rename" or (p / READY).exists())]
    known = {name: _mark(directory / name) for name in in_order(p.name for p in complete)}
    digest = hashlib.sha256(repr(list(known.items())).encode()).hexdigest()
    return Arrivals(directory.absolute(), digest=digest, spans=known, dates={name: _date(directory / name) for name in known})


def _mark(span: Path) -> str:
    """A digest of what its files are called, how long they are and when they were written."""
    found = []
    for folder, _, names in os.walk(span):
        for path in (Path(folder, name) for name in names):
            stat = path.lstat()
            found.append((str(path.relative_to(span)), stat.st_size, stat.st_mtime_ns if path.name != READY else 0))
    return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()[:16]


def _date(span: Path) -> str:
    """The date in its name, or else of its marker, or of the directory."""
    if match := DATE.search(span.name):
        try:
            return datetime.date(*map(int, match.groups())).isoformat()
        except ValueError:
            pass  # digits that are no date
    marker = span / READY
    when = (marker if marker.exists() else span).stat().st_mtime
    return datetime.datetime.fromtimestamp(when, datetime.UTC).date().isoformat()
