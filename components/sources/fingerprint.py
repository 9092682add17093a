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
        return self.of_files(folder, (str(path.relative_to(folder)) for path in sorted(_files(folder))))

    def of_files(self, folder: Path, names: Iterable[str]) -> dict[str, str]:
        """The digest of each file by its path relative to `folder`; "" if it does not exist."""
        return {name: self._digest(folder / name) for name in names}

    def save(self) -> None:
        if self.kept is not None and self._changed and self.kept.parent.is_dir():
            with contextlib.suppress(OSError):  # a ROOT that may only be read
                files.write_json(self.kept, self._known)

    def _digest(self, path: Path) -> str:
        try:
            status = path.stat()
        except FileNotFoundError:
            return ""
        state = [status.st_size, status.st_mtime_ns, status.st_ino]
        name = str(path.absolute())
        if (known := self._known.get(name)) and known[:3] == state:
            return str(known[3])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[name] = [*state, digest]
        self._changed = True
        return digest


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or "incomplete" in entry.name:
                continue
            if entry.is_dir():
                yield from _files(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path)
