"""Files that are whole or absent: digests, fsync and the renaming of finished directories."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from schemas.errors import ConfigurationError, EnvironmentFailure, GatelineError, StoreError

MANIFEST = "manifest.json"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
# State and digest of linked files, by path.
_checked: dict[str, tuple[tuple[int, int, int, int] | None, str | None]] = {}


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


@contextlib.contextmanager
def explained(place: Path, action: str) -> Iterator[None]:
    """Errors of the operating system become one line of cause and one of remedy.

    Raises:
        StoreError: not allowed, read-only, or not a directory.
        EnvironmentFailure: the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise explain(error, place, action) from error


@contextlib.contextmanager
def full_disk_explained(place: Path, action: str) -> Iterator[None]:
    """The same for errors of other libraries that concern writing below `place`. Other errors are not changed.

    Raises:
        EnvironmentFailure: the disk is full.
        StoreError: it is read-only, or permission is lacking.
    """
    try:
        yield
    except GatelineError:
        raise
    except OSError as error:
        below = error.filename is None or Path(str(error.filename)).is_relative_to(place)
        if below and error.errno in (*FULL, *FORBIDDEN):
            raise explain(error, place, action) from error
        raise
    except Exception as error:
        if any(os.strerror(code) in str(error) for code in FULL):  # TensorFlow and Arrow have errors of their own
            raise explain(OSError(FULL[0], os.strerror(FULL[0])), place, action) from error
        raise


def explain(error: OSError, place: Path, action: str) -> GatelineError:
    """The same, for an error already caught."""
    # `shutil.copytree` raises a list of messages without error numbers.
    if error.errno in FULL or (error.errno is None and any(os.strerror(code) in str(error) for code in FULL)):
        return EnvironmentFailure(
            f"{action} {place}: no space left on its disk", "Free some space and run again; finished stages are reused."
        )
    if error.errno in FORBIDDEN:
        return StoreError(
            f"{action} {place}: {error.strerror}", "Name another with --root or --serving-dir, or fix its permissions."
        )
    return StoreError(f"{action} {place}: {error.strerror or error}", "Name another with --root or --serving-dir.")


def check_loadable(path: Path, option: str) -> None:
    """TensorFlow finds the weights of a model by a glob, so these characters in a path break loading.

    Raises:
        ConfigurationError: the absolute path contains [, ] or a backslash.
    """
    if characters := [character for character in "[]\\" if character in str(path.absolute())]:
        cause = f"{path.absolute()} contains {' and '.join(characters)}: TensorFlow cannot load a model from there"
        raise ConfigurationError(cause, f"Name another directory with {option}.")


def _checked_before(path: Path) -> str | None:
    """The digest of a file that `link_checked` has linked and that has not changed since. It is given only once."""
    state, digest = _checked.pop(str(path), (None, None))
    return digest if state == _state(path) else None


def _state(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _sha256(path: Path, sync: bool) -> str:
    with path.open("rb") as file:
        hexdigest = hashlib.file_digest(file, "sha256").hexdigest()
        if sync:
            os.fsync(file.fileno())
    return hexdigest
