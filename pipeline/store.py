"""Artifacts on disk: `ROOT/artifacts/<stage>/<key>/`, each complete or absent.

store = Store(root)
with store.lock(wait=False):
    with store.staging("ingest", key) as out:          # a directory beside the artifacts
        ...
        artifact = store.commit(out, Examples(out, ...), recipe)
store.find("ingest", key, Examples)                    # the artifact, or None
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from pipeline import files
from schemas.artifacts import Artifact
from schemas.errors import ConfigurationError, DataError, Locked

FORMAT = 1


@dataclass(frozen=True)
class Store:
    """The directory ROOT. Making one creates ROOT and checks that this version of the program can read it."""

    root: Path

    def __post_init__(self) -> None:
        with files.explained(self.root, "cannot use ROOT"):
            for name in ("artifacts", "staging", "scratch", "logs", "reports"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            marker = self.root / "store.json"
            if not marker.exists():
                files.write_json(marker, {"format": FORMAT})
        try:
            found = json.loads(marker.read_text())["format"]
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(f"{marker} is not a store's marker file", "Name another ROOT with --root.") from None
        if found != FORMAT:
            raise ConfigurationError(
                f"the store {self.root} has format {found}, this program reads format {FORMAT}",
                "Upgrade gateline, or name another ROOT with --root.",
            )

    @contextlib.contextmanager
    def lock(self, *, wait: bool) -> Iterator[None]:
        """Only one run at a time writes to ROOT.

        Raises:
            Locked: another run holds the lock and `wait` is false.
        """
        lock = filelock.FileLock(self.root / "lock")
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except filelock.Timeout:
            raise Locked(f"another run holds {self.root / 'lock'}", "Wait for it with --wait, or name another --root.") from None
        except OSError as error:
            raise files.explain(error, self.root, "cannot lock") from error
        try:
            self._sweep()
            yield
        finally:
            lock.release()

    def _sweep(self) -> None:
        for leftover in (self.root / "staging").iterdir():
            files.remove(leftover)  # of a killed run: the lock is ours, so nobody is writing there

    def path(self, stage: str, key: str) -> Path:
        return self.root / "artifacts" / stage / key

    def find(self, stage: str, key: str, kind: type[Artifact]) -> Artifact | None:
        """The complete artifact of that key, or None.

        Raises:
            DataError: it is there but a file is missing or cut short.
        """
        path = self.path(stage, key)
        manifest = self.manifest(stage, key)
        if manifest is None:
            return None
        if wrong := files.differences(path, manifest["files"], contents=False):
            raise DataError(f"artifact {path}: {wrong[0]}", f"Run again with --force {stage} to make it anew.")
        return dataclasses.replace(_from_json(kind, path, manifest["facts"]), digest=manifest["digest"])

    def manifest(self, stage: str, key: str) -> dict[str, Any] | None:
        """An artifact's manifest; an artifact without a readable one does not exist."""
        try:
            found = json.loads((self.path(stage, key) / files.MANIFEST).read_text())
        except (OSError, ValueError):
            return None
        try:
            whole = found["digest"] == files.digest(found["files"], found["facts"]) and {"recipe", "made"} <= found.keys()
        except (KeyError, TypeError, AttributeError):
            return None
        return found if whole else None

    def manifests(self, stage: str) -> Iterator[dict[str, Any]]:
        """Manifests of a stage's artifacts, the newest last."""
        folder = self.root / "artifacts" / stage
        found = [self.manifest(stage, p.name) for p in folder.iterdir()] if folder.is_dir() else []
        yield from sorted((m for m in found if m), key=lambda m: m["made"])

    @contextlib.contextmanager
    def staging(self, stage: str, key: str) -> Iterator[Path]:
        """An empty directory on the store's file system; removed at the end unless committed."""
        path = self.root / "staging" / f"{stage}-{key}"
        files.remove(path)
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            files.remove(path)

    def scratch(self, stage: str, key: str) -> Path:
        path = self.root / "scratch" / f"{stage}-{key}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def commit(self, artifact: Artifact, stage: str, key: str, recipe: dict[str, Any], made: str) -> Artifact:
        """The artifact at its final place: files flushed, manifest written last, then one rename."""
        found = files.listing(artifact.path, sync=True)
        manifest: dict[str, Any] = {
            "stage": stage,
            "key": key,
            "made": made,
            "recipe": recipe,
            "facts": facts(artifact),
            "files": found,
        }
        # Facts count, since later stages read them too.
        manifest["digest"] = files.digest(found, manifest["facts"])
        files.write_json(artifact.path / files.MANIFEST, manifest)
        final = self.path(stage, key)
        if final.exists():  # forced, or left without a manifest: the old one makes room
            final.rename(self.root / "staging" / f"replaced-{stage}-{key}")
        files.commit(artifact.path, final)
        files.remove(self.root / "staging" / f"replaced-{stage}-{key}")
        files.remove(self.root / "scratch" / f"{stage}-{key}")
        return dataclasses.replace(artifact, path=final, digest=manifest["digest"])


def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter  # only where an artifact is read back

    return TypeAdapter(kind)


def _from_json(kind: type[Artifact], path: Path, facts: dict[str, Any]) -> Artifact:
    found: Artifact = _adapter(kind).validate_python({"path": path, **facts})
    return found


def facts(artifact: Artifact) -> dict[str, Any]:
    """The facts of an artifact as JSON values."""
    found: dict[str, Any] = json.loads(_adapter(type(artifact)).dump_json(artifact))
    return {name: value for name, value in found.items() if name not in ("path", "digest")}
