"""What makes a dataset other data: the digests of its files, read again only where size, time or inode changed.

digests = Digests(root / "digests.json")
digests.of(folder)          # {"train.tfrecord": "sha256..."}
digests.save()
"""

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from components.sources.listing import files_in, is_ignored
from schemas import disk
from schemas.errors import is_transient

UNREADABLE = "unreadable"  # instead of the digest of a file that cannot be read
EFFECTIVE = os.access in os.supports_effective_ids  # whether permissions can be checked for the effective user


@dataclass(frozen=True)
class Fingerprint:
    """The state of a source's data. Each kind of source has a function that states it, without reading images."""

    folder: Path
    contents: dict[str, str]  # digests by file, in order; empty if there is no data yet
    name: str = ""  # of a dataset of TFDS; other data is the same under any name
    version: str = ""


class Digests:
    """SHA-256 of files by path, kept in a JSON file between runs. Without a file, nothing is kept."""

    def __init__(self, kept: Path | None) -> None:
        self.kept = kept
        self._known: dict[str, list[object]] = {}
        self._changed = False
        if kept is not None:
            with contextlib.suppress(OSError, ValueError):  # a cache: what cannot be read is computed
                status = kept.stat()
                self._known = _known_in(kept, (status.st_size, status.st_mtime_ns, status.st_ino)).copy()

    def of(
        self, folder: Path, ignored: Callable[[str], bool] = is_ignored, *, set_aside: bool = False
    ) -> dict[str, str]:
        """The digest of each file below `folder`, by relative path, in order: "" for what is no file, as a pipe.

        `set_aside`: a file that cannot be read has `UNREADABLE` as digest, because its reader sets it aside.
        """
        start = len(str(folder.absolute())) + 1
        paths = (entry.path for entry in files_in(str(folder.absolute()), ignored))
        return {path[start:]: self._digest_of(path, set_aside) for path in paths}

    def of_files(self, folder: Path, names: Iterable[str], *, set_aside: bool = False) -> dict[str, str]:
        """The digest of each file by its path relative to `folder`; "" if it does not exist."""
        start = str(folder.absolute())
        return {name: self._digest_of(os.path.join(start, name), set_aside) for name in names}  # noqa: PTH118

    def save(self) -> None:
        if self.kept is not None and self._changed and self.kept.parent.is_dir():
            with contextlib.suppress(OSError):  # a ROOT that may only be read
                # Not indented, which takes several times as long.
                disk.atomic_write_text(self.kept, json.dumps(self._known), sync=True)
                self._changed = False

    def _digest_of(self, path: str, set_aside: bool) -> str:
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path for each of 100,000 files takes a second
            if not stat.S_ISREG(status.st_mode):
                return ""
            # Checked even where the digest is known: permissions change neither size, time nor inode.
            if set_aside and not os.access(path, os.R_OK, effective_ids=EFFECTIVE):
                return UNREADABLE
            return self._digest(path, status)
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:  # a ValueError: the name holds a zero byte
            if not set_aside or is_transient(error):
                raise
            return UNREADABLE

    def _digest(self, path: str, status: os.stat_result) -> str:
        state = [status.st_size, status.st_mtime_ns, status.st_ino]
        if (known := self._known.get(path)) and known[:3] == state:
            return str(known[3])
        with open(path, "rb") as file:  # noqa: PTH123 - the same
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[path] = [*state, digest]
        self._changed = True
        return digest


@functools.lru_cache(1)
def _known_in(kept: Path, state: tuple[int, int, int]) -> dict[str, list[object]]:
    """`state`: of the file, which a run reads several times: 100,000 digests take 0.2 s."""
    del state
    known: dict[str, list[object]] = json.loads(kept.read_text(encoding="utf-8"))
    return known


def code_of(module: str) -> list[str]:
    """The texts of a module or package, found without importing it. Empty if it does not exist."""
    return [path.read_text(encoding="utf-8") for path in _sources(module)]


def _sources(module: str) -> list[Path]:
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None or spec.origin is None:
        return []
    if not spec.submodule_search_locations:
        return [Path(spec.origin)]
    path = Path(spec.submodule_search_locations[0]).joinpath(*rest)
    if path.is_dir():
        return sorted(path.glob("*.py"))
    file = path.with_suffix(".py")
    return [file] if file.exists() else []
