"""Files that are whole or absent: atomic writes, renames of finished directories, and flushing to disk."""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def link(source: Path, target: Path) -> None:
    """A hard link to the file; a copy where the file system has none, or the target is on another one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy(source, target)


@contextlib.contextmanager
def atomic_write(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`, to be written; renames it to `path` at the end, or removes it on an error.

    Readers see the old file or the new one. `sync` also flushes the file and its directory entry to disk, so that the
    file survives a crash of the machine.
    """
    # No library: these lines are all that is needed, and atomicwrites, the usual one, is no longer maintained.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        yield temporary
        if sync:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_directory(path.parent)


def atomic_write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Writes a UTF-8 text file atomically, see `atomic_write`."""
    with atomic_write(path, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically and flushes it to disk."""
    atomic_write_text(path, json.dumps(value, indent=2) + "\n", sync=True)


def commit(staged: Path, final: Path) -> None:
    """`staged`, a finished directory, appears as `final` by one rename, and is on disk when this returns."""
    final.parent.mkdir(parents=True, exist_ok=True)
    staged.rename(final)
    sync_directory(final.parent)
    sync_directory(staged.parent)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Removes a directory, file or link, if it exists."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
