"""Digests of many files, read again only where size, time or inode changed.

digests = Digests(root / "digests.json")
digests.of(folder)          # {"train.tfrecord": "sha256..."}; hidden files and unfinished downloads do not count
digests.save()
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from schemas import files


class Digests:
    """SHA-256 of files by path, kept in a JSON file between runs. Without a file, nothing is kept."""

    def __init__(self, kept: Path | None) -> None:
        self.kept = kept
        self._known: dict[str, list[object]] = {}
        self._changed = False
        if kept is not None:
            with contextlib.suppress(OSError, ValueError):  # a cache: what cannot be read is computed
                self._known = json.loads(kept.read_text(encoding="utf-8"))

    def of(self, folder: Path) -> dict[str, str]:
        """The digest of each file below `folder`, by relative path, in order."""
        start = len(str(folder.absolute())) + 1
        entries = {entry.path[start:]: entry for entry in _files(str(folder.absolute()))}
        return {
            name: self._digest(entries[name].path, entries[name].stat())
            for name in sorted(entries, key=lambda name: name.split("/"))
        }

    def of_files(self, folder: Path, names: Iterable[str]) -> dict[str, str]:
        """The digest of each file by its path relative to `folder`; "" if it does not exist."""
        return {name: self._digest_of(str(folder.absolute() / name)) for name in names}

    def save(self) -> None:
        if self.kept is not None and self._changed and self.kept.parent.is_dir():
            with contextlib.suppress(OSError):  # a ROOT that may only be read
                files.write_json(self.kept, self._known)

    def _digest_of(self, path: str) -> str:
        try:
            return self._digest(path, os.stat(path))  # noqa: PTH116 - the same
        except FileNotFoundError:
            return ""

    def _digest(self, path: str, status: os.stat_result) -> str:
        state = [status.st_size, status.st_mtime_ns, status.st_ino]
        if (known := self._known.get(path)) and known[:3] == state:
            return str(known[3])
        with open(path, "rb") as file:  # noqa: PTH123 - a Path for each of 100,000 files takes a second
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[path] = [*state, digest]
        self._changed = True
        return digest


def _files(folder: str) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or "incomplete" in entry.name:
                continue
            if entry.is_dir():
                yield from _files(entry.path)
            elif entry.is_file():
                yield entry
