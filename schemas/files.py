"""The files of an artifact: their listing with digests, and the manifest that seals it."""

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from schemas.disk import link, sync_directory
from schemas.errors import StoreError

MANIFEST = "manifest.json"
ARTIFACTS = "artifacts"  # the folder in ROOT: ROOT/artifacts/<stage>/<key>

State = tuple[int, int, int, int]  # of a file: it has not changed if this is the same
_checked: dict[str, tuple[State | None, str | None]] = {}  # state and digest by path, of linked files


def listing(directory: Path, pattern: str = "*", *, sync: bool = False) -> dict[str, dict[str, Any]]:
    """{relative path: {size, sha256}} of every file below `directory` that matches, sorted by path.

    `sync` also flushes each file and directory to disk.

    Raises:
        StoreError: there is a symbolic link, whose digest could be of another file.
    """
    paths = sorted(p for p in directory.rglob(pattern) if p.name != MANIFEST or p.parent != directory)
    for path in paths:
        if path.is_symlink():
            raise StoreError(f"{path} is a symbolic link; artifacts hold plain files only", "Remove it and run again.")
    files = [p for p in paths if p.is_file()]
    with ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(lambda p: _checked_before(p) or _sha256(p, sync), files))
    if sync:
        for folder in [directory, *(p for p in paths if p.is_dir())]:
            sync_directory(folder)
    return {
        str(p.relative_to(directory)): {"size": p.stat().st_size, "sha256": digest}
        for p, digest in zip(files, digests, strict=True)
    }


def digest(files: dict[str, dict[str, Any]], facts: Any = None, interpreted: Iterable[str] = ()) -> str:
    """SHA-256 over names, contents and `facts` (JSON values): equal files have the same digest in any directory.

    Files in an `interpreted` folder (`"graph/"`) do not count: a fact states what they mean.
    """
    meant = tuple(interpreted)
    lines = "".join(
        f"{entry['sha256']}  {name}\n" for name, entry in sorted(files.items()) if not name.startswith(meant)
    )
    return hashlib.sha256((lines + (json.dumps(facts, sort_keys=True) if facts else "")).encode()).hexdigest()


def manifest(directory: Path) -> dict[str, Any] | None:
    """An artifact's manifest, if it is present and valid."""
    try:
        content: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        listed = content["files"].values()
        entries = all(type(entry["size"]) is int and type(entry["sha256"]) is str for entry in listed)
        names = all(Path(content[name]).name == content[name] != ".." for name in ("stage", "key"))
        # Manifests of older stores have neither of the two.
        sealed = (
            content["seal"] == seal(content)
            if {"seal", "number"} & content.keys()
            else isinstance(content["recipe"], dict)
        )
        same_digest = content["digest"] == digest(content["files"], content["facts"], content.get("interpreted", []))
        whole = entries and names and sealed and same_digest and type(content["made"]) is str
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return content if whole else None


def seal(manifest: dict[str, Any]) -> str:
    """SHA-256 over the whole manifest, so that any change is detected."""
    sealed = {name: value for name, value in manifest.items() if name != "seal"}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()


def differences(directory: Path, files: dict[str, dict[str, Any]], *, contents: bool) -> list[str]:
    """A line for each file that differs from a manifest's `files`; only sizes are compared unless `contents`."""
    lines, inside = [], directory.resolve()
    for name, entry in files.items():
        path = directory / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            lines.append(f"{name} leads out of its directory")
        elif not path.is_file() and not path.is_symlink():
            lines.append(f"{name} is missing")
        elif path.is_symlink() or path.resolve() != inside / name:
            lines.append(f"{name} is a symbolic link, or is behind one")
        elif (size := path.stat().st_size) != entry["size"]:
            lines.append(f"{name} has {size:,} bytes, its manifest states {entry['size']:,}")
        elif contents and _sha256(path, False) != entry["sha256"]:
            lines.append(f"{name} was altered: its SHA-256 differs from the manifest's")
    return lines


def unlisted(directory: Path, files: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each file below `directory` that is not in a manifest's `files`."""
    paths = sorted(p for p in directory.rglob("*") if p.is_symlink() or not p.is_dir())
    names = [str(p.relative_to(directory)) for p in paths]
    return [f"{name} is not in its manifest" for name in names if name not in files and name != MANIFEST]


def age(manifest: dict[str, Any]) -> tuple[int, str]:
    """Sort key of one stage's manifests, the oldest first. They are numbered because clocks can be set back."""
    return manifest.get("number", 0), manifest["made"]


def contents(artifact: Path) -> dict[str, dict[str, Any]]:
    """{relative path: {size, sha256}} of the artifact's files by its manifest; empty without a readable one."""
    try:
        entries: dict[str, dict[str, Any]] = json.loads((artifact / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return entries


def stage_of(path: Path) -> str | None:
    """The stage that made the artifact with this file, by its place `artifacts/<stage>/<key>`. None elsewhere."""
    parts = path.absolute().parts
    return next((parts[i + 1] for i in range(len(parts) - 3, -1, -1) if parts[i] == ARTIFACTS), None)


def rerun(path: Path) -> str:
    """How to make the artifact with this file again, as the remedy of an error."""
    stage = stage_of(path)
    return f"Run again with --force {stage}." if stage else "Run again with --no-cache."


def link_files(artifact: Path, below: str, out: Path) -> bool:
    """Hard-links an artifact's files in its folder `below` into `out`, if all match its manifest. Returns whether."""
    of_folder = {name: entry for name, entry in contents(artifact).items() if name.startswith(f"{below}/")}
    return bool(of_folder) and link_checked(artifact, of_folder, out)


def link_checked(artifact: Path, entries: dict[str, dict[str, Any]], out: Path) -> bool:
    """Hard-links files of an artifact into `out`, if all match its manifest's `entries`. Returns whether they do.

    `listing` of `out` takes over their digests: a file is not read twice within a stage.
    """
    if differences(artifact, entries, contents=True):
        return False
    for name, entry in entries.items():
        link(artifact / name, out / name)
        if (artifact / name).samefile(out / name):  # not a copy, whose content has not been read
            _checked[str(out / name)] = (_state(out / name), entry["sha256"])
    return True


def _checked_before(path: Path) -> str | None:
    """The digest of a file that `link_checked` has linked and that has not changed since. It is given only once."""
    state, digest = _checked.pop(str(path), (None, None))
    return digest if state == _state(path) else None


def _state(path: Path) -> State:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _sha256(path: Path, sync: bool) -> str:
    with path.open("rb") as file:
        hexdigest = hashlib.file_digest(file, "sha256").hexdigest()
        if sync:
            os.fsync(file.fileno())
    return hexdigest
