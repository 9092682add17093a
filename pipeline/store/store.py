"""Artifacts on disk: `ROOT/artifacts/<stage>/<key>/`, each complete or absent.

store = Store(root)
with store.lock(wait=False):
    with store.staging("ingest", key) as out:          # a temporary directory on the same file system
        ...
        artifact = store.commit(out, Examples(out, ...), "ingest", key, parts, now)
store.find("ingest", key, Examples)                    # the artifact, or None
store.check("ingest", artifact)                        # its files are unchanged
"""

import contextlib
import dataclasses
import functools
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from schemas import disk, files, places
from schemas.artifacts import Artifact
from schemas.errors import ConfigurationError, DataError, Interrupted, Locked

FORMAT = 1
MARKER = "store.json"
REPLACED = "replaced-"
DONE = "done"  # in a stage's scratch directory: the seal of the finished artifact


@dataclass(frozen=True)
class Store:
    """The directory ROOT. Creating a Store creates ROOT if necessary, and checks that its format is supported."""

    root: Path

    def __post_init__(self) -> None:
        with places.explained(self.root, "cannot use ROOT"):
            for name in (files.ARTIFACTS, "staging", "scratch", "logs", "reports"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            if not (self.root / MARKER).exists():
                with filelock.FileLock(self.root / ".making"):
                    self._mark()
        version = self._marker()["format"]
        if version != FORMAT:
            raise ConfigurationError(
                f"the store {self.root} has format {version}, this version of gateline supports {FORMAT}",
                "Upgrade gateline, or name another ROOT with --root.",
            )

    @classmethod
    def existing(cls, root: Path) -> "Store":
        """The store at `root`.

        Raises:
            ConfigurationError: there is no store; it is not created.
        """
        if not (root / MARKER).exists():
            remedy = "Run the line first, or name the store with --root."
            raise ConfigurationError(f"there is no store at {root}", remedy)
        return cls(root)

    @property
    def is_writable(self) -> bool:
        """Whether this user may write to ROOT, and so take its lock."""
        return os.access(self.root, os.W_OK)

    @property
    def id(self) -> str:
        """Identifies this store among others in one lineage database. Moving the store does not change it."""
        return str(self._marker().get("id", ""))

    def _marker(self) -> dict[str, Any]:
        marker = self.root / MARKER
        try:
            content: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8"))
            return {**content, "format": content["format"]}
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"{marker} is not a store's marker file", "Name another ROOT with --root."
            ) from None

    def _mark(self) -> None:
        """Ensures that the marker file exists and has an id. The caller holds a lock."""
        for leftover in self.root.glob(f".{MARKER}.*"):
            leftover.unlink()  # of a killed process
        marker = self._marker() if (self.root / MARKER).exists() else {"format": FORMAT}
        if "id" not in marker:
            disk.write_json(self.root / MARKER, {**marker, "id": uuid.uuid4().hex})

    @contextlib.contextmanager
    def lock(self, *, wait: bool) -> Iterator[None]:
        """Holds the lock of ROOT: only one run at a time writes to it.

        Raises:
            Locked: another run holds the lock and `wait` is false.
        """
        lock = filelock.FileLock(self.root / "lock")
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except filelock.Timeout:
            raise Locked(
                f"another run holds {self.root / 'lock'}", "Wait for it with --wait, or name another --root."
            ) from None
        except OSError as error:
            raise places.explain(error, self.root, "cannot lock") from error
        except KeyboardInterrupt:
            raise Interrupted(f"waited for {self.root / 'lock'}; nothing was run", "Run again.") from None
        try:
            with places.explained(self.root, "cannot write to ROOT"):
                self._mark()
                self._clean_up()
            yield
        finally:
            lock.release()

    def _clean_up(self) -> None:
        """Cleans up after killed runs: restores replaced artifacts, removes temporary directories. Needs the lock."""
        for leftover in (self.root / "staging").iterdir():
            if leftover.name.startswith(REPLACED) and (manifest := files.manifest(leftover)):
                final = self.path(manifest["stage"], manifest["key"])
                if not final.exists():
                    disk.commit(leftover, final)
            disk.remove(leftover)
        for leftover in (self.root / "scratch").iterdir():
            stage, _, key = leftover.name.rpartition("-")
            if (manifest := self.manifest(stage, key)) and _read_text(leftover / DONE) == manifest.get("seal"):
                self.discard(leftover)  # killed after the commit; otherwise a forced stage would resume from here

    def path(self, stage: str, key: str) -> Path:
        return self.root / files.ARTIFACTS / stage / key

    def find(self, stage: str, key: str, kind: type[Artifact]) -> Artifact | None:
        """The complete artifact of a key, or None.

        Raises:
            DataError: a file of the artifact is missing or truncated.
        """
        path = self.path(stage, key)
        if path.is_symlink():
            raise DataError(f"artifact {path} is a symbolic link", "Remove it and run again.")
        manifest = self.manifest(stage, key)
        if manifest is None:
            return None
        if problems := files.differences(path, manifest["files"], contents=False):
            raise DataError(f"artifact {path}: {problems[0]}", f"Run again with --force {stage}.")
        return dataclasses.replace(from_facts(kind, path, manifest["facts"]), digest=manifest["digest"])

    def check(self, stage: str, artifact: Artifact) -> None:
        """Checks every file of the artifact against its manifest.

        Raises:
            DataError: a file differs.
        """
        manifest = self.manifest(stage, artifact.path.name)
        if manifest is None or manifest["digest"] != artifact.digest:
            problems = [f"its {files.MANIFEST} was altered"]
        else:
            problems = files.differences(artifact.path, manifest["files"], contents=True)
        if problems:
            raise DataError(f"artifact {artifact.path}: {problems[0]}", f"Run again with --force {stage}.")

    def manifest(self, stage: str, key: str) -> dict[str, Any] | None:
        """The manifest of an artifact, or None. An artifact without a readable manifest does not exist."""
        return files.manifest(self.path(stage, key))

    def manifests(self, stage: str) -> Iterator[dict[str, Any]]:
        """The manifests of a stage's artifacts, the newest last."""
        folder = self.root / "artifacts" / stage
        manifests = [self.manifest(stage, p.name) for p in folder.iterdir()] if folder.is_dir() else []
        yield from sorted((m for m in manifests if m), key=files.age)

    def similar(self, stage: str, parts: dict[str, Any], kind: type[Artifact]) -> Iterator[Artifact]:
        """Complete artifacts of a stage with the same code, settings and libraries, the newest first."""
        for manifest in reversed(list(self.manifests(stage))):
            if all(manifest["recipe"].get(part) == parts[part] for part in ("code", "settings", "versions")):
                with contextlib.suppress(DataError):
                    if artifact := self.find(stage, manifest["key"], kind):
                        yield artifact

    @contextlib.contextmanager
    def staging(self, stage: str, key: str) -> Iterator[Path]:
        """An empty directory on the store's file system. It is removed on exit, unless it was committed."""
        path = self.root / "staging" / f"{stage}-{key}"
        try:
            disk.remove(path)
            path.mkdir(parents=True)
            yield path
        finally:
            # Renamed first: threads of an interrupted Beam pipeline may still write for a moment, which then fails.
            if path.exists():
                self.discard(path)

    def scratch(self, stage: str, key: str) -> Path:
        path = self.root / "scratch" / f"{stage}-{key}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def discard(self, path: Path) -> None:
        """Removes a directory of the store: one rename, then deletion. After a kill, the next run completes it."""
        removed = self.root / "staging" / f"removed-{'-'.join(path.relative_to(self.root).parts[1:])}"
        disk.commit(path, removed)
        disk.remove(removed)

    def commit(self, artifact: Artifact, stage: str, key: str, parts: dict[str, Any], made: str) -> Artifact:
        """Moves an artifact to its final path: flushes files, writes the manifest last, then renames once.

        `parts`: those of the cache key.
        """
        listing = files.listing(artifact.path, sync=True)
        manifest: dict[str, Any] = {
            "stage": stage,
            "key": key,
            "made": made,
            "number": max((m.get("number", 0) for m in self.manifests(stage)), default=0) + 1,
            "recipe": parts,
            "facts": facts(artifact),
            "files": listing,
            "interpreted": list(artifact.interpreted),
        }
        # The digest covers the facts, since later stages read them too.
        manifest["digest"] = files.digest(listing, manifest["facts"], artifact.interpreted)
        manifest["seal"] = files.seal(manifest)
        disk.write_json(artifact.path / files.MANIFEST, manifest)
        final = self.path(stage, key)
        replaced = self.root / "staging" / f"{REPLACED}{stage}-{key}"
        if final.exists():  # forced, or without a manifest: the old one is moved away, and restored after a kill
            final.rename(replaced)
        (self.scratch(stage, key) / DONE).write_text(manifest["seal"], encoding="utf-8")
        disk.commit(artifact.path, final)
        disk.remove(replaced)
        self.discard(self.scratch(stage, key))
        return dataclasses.replace(artifact, path=final, digest=manifest["digest"])


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


@functools.cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter  # slow to import, needed only to read artifacts

    return TypeAdapter(kind)


def from_facts(kind: Any, path: Path, facts: dict[str, Any]) -> Artifact:
    """The artifact of a type with these facts, as returned by `facts`.

    Raises:
        ValueError: a fact is missing or of another type.
    """
    artifact: Artifact = _adapter(kind).validate_python({"path": path, **facts})
    return artifact


def facts(artifact: Artifact) -> dict[str, Any]:
    """The facts of an artifact as JSON values."""
    kind: Any = type(artifact)
    values: dict[str, Any] = json.loads(_adapter(kind).dump_json(artifact, by_alias=True))
    return {name: value for name, value in values.items() if name not in ("path", "digest")}
