"""The spans that are complete now, looked up while planning."""

import datetime
import hashlib
import os
import re
from pathlib import Path

from pipeline.engine.component import Unkeyed, component
from schemas.artifacts import Arrivals
from schemas.errors import ConfigurationError
from schemas.settings.spans import READY, Spans, in_order, printable_name

DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")


@component(kind="resolver")
def arrived(*, spans: Unkeyed[Spans]) -> Arrivals:
    """The complete spans, in the order of their names (span-9 before span-10).

    A span is identified by the names, sizes and times of its files, so that thousands of images are not read to find
    out that nothing is new. After `touch`, a file is read again; equal contents change nothing after that. Unreadable
    spans and spans with an invalid name are included: collect quarantines them, with the reason.

    Raises:
        ConfigurationError: the directory does not exist or cannot be read.
    """
    directory = Path(spans.directory).expanduser()
    try:
        if not directory.is_dir():
            remedy = "Make it, or name another: --set spans.directory=FOLDER"
            raise ConfigurationError(f"spans.directory {directory} is not a directory", remedy)
        folders = {
            printable_name(p.name): p
            for p in directory.iterdir()
            if p.name.startswith("span-") and _is_complete(p, spans.ready)
        }
    except OSError as error:
        remedy = "Fix its permissions, or name another: --set spans.directory=FOLDER"
        raise ConfigurationError(f"spans.directory {directory} cannot be read: {error.strerror}", remedy) from error
    known = {name: _mark(folders[name]) for name in in_order(folders)}
    digest = hashlib.sha256(repr(list(known.items())).encode()).hexdigest()
    return Arrivals(
        directory.absolute(), digest=digest, spans=known, dates={name: _date(folders[name]) for name in known}
    )


def _is_complete(span: Path, ready: str) -> bool:
    try:
        return span.is_dir() and (ready == "rename" or (span / READY).exists())
    except OSError:
        return True  # not readable: quarantined with the reason instead of ignored silently


def _mark(span: Path) -> str:
    """Digest of the names, sizes, times and modes of the span's files; of the error, if a file cannot be inspected."""
    entries: list[tuple[str, int, int, int]] = []

    def failed(path: Path, error: OSError) -> None:
        entries.append((str(path), error.errno or 0, 0, 0))

    for folder, _, names in os.walk(span, onerror=lambda error: failed(span, error)):
        for path in (Path(folder, name) for name in names):
            try:
                stat = path.lstat()
            except OSError as error:
                failed(path, error)
            else:
                written = stat.st_mtime_ns if path.name != READY else 0
                entries.append((str(path.relative_to(span)), stat.st_size, written, stat.st_mode))
    return hashlib.sha256(repr(sorted(entries)).encode()).hexdigest()[:16]


def _date(span: Path) -> str:
    """The date in its name, else of its marker, else of the directory; the earliest date if none is known."""
    if match := DATE.search(span.name):
        try:
            return datetime.date(*map(int, match.groups())).isoformat()
        except ValueError:
            pass  # digits that are not a date
    for path in (span / READY, span):
        try:
            return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC).date().isoformat()
        except (OSError, ValueError, OverflowError):
            pass  # absent, unreadable, or a year with five digits
    return datetime.date.min.isoformat()
