"""The serving directory, in TensorFlow Serving's layout: `SERVING/<model>/<version>/`, each version complete or absent.

shelf = Shelf(serving_dir, "mnist")
version = shelf.publish(saved_model, provenance)   # staged beside, flushed, renamed
shelf.latest()                                     # Version(number=3, ...)
"""

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from pipeline import files
from schemas.errors import Refused, StoreError

PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Version:
    """A model that stands in the serving directory."""

    path: Path
    number: int
    provenance: dict[str, Any]  # `model`: digest; `run`; `stages`: all that it was made from; `files`: its manifest

    @property
    def digest(self) -> str:
        return str(self.provenance["model"])


@dataclass(frozen=True)
class Shelf:
    """The versions of one model. Only this class writes to a serving directory."""

    root: Path
    model: str

    @property
    def path(self) -> Path:
        return self.root / self.model

    def versions(self) -> list[Version]:
        """All versions, the oldest first.

        Raises:
            StoreError: something stands there that this program did not put there.
        """
        with files.explained(self.root, "cannot read the serving directory"):
            if not self.path.exists():
                return []
            found = [self._version(p) for p in sorted(self.path.iterdir()) if not p.name.startswith(".")]
        return sorted(found, key=lambda v: v.number)

    def latest(self) -> Version | None:
        """The version that TensorFlow Serving serves by default: the one of the highest number."""
        return next(reversed(self.versions()), None)

    def history(self) -> list[dict[str, Any]]:
        """`version`, `model` (its digest), `accuracy` and `test` (what it was measured on) of every version ever published here,
        the oldest first.

        Versions that were removed since are remembered in `.history`, which the next publication brings up to date.

        Raises:
            StoreError: a record is damaged, or says something else than the version itself.
        """
        found = {v.number: _record(v) for v in self.versions()}
        with files.explained(self.root, "cannot read the serving directory"):
            for path in self.path.glob(".history/*.json"):
                record = _remembered(path)
                if found.setdefault(record["version"], record) != record:
                    cause = f"{self.path / str(record['version']) / PROVENANCE} and {path} differ"
                    raise StoreError(cause, "One was altered: put back what was, or remove the other.")
        return [found[number] for number in sorted(found)]

    def _remember(self) -> None:
        for version in self.versions():
            path = self.path / ".history" / f"{version.number}.json"
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                files.write_json(path, _record(version))

    def _version(self, path: Path) -> Version:
        remedy = "Move it away, or name another --serving-dir. Nothing was changed."
        if not (path.is_dir() and path.name.isdigit() and not path.is_symlink()):
            raise StoreError(f"{path} in the serving directory is no version of gateline's", remedy)
        try:
            provenance = json.loads((path / PROVENANCE).read_text())
            return Version(path, int(path.name), {**provenance, "model": provenance["model"]})
        except (OSError, ValueError, KeyError, TypeError):
            raise StoreError(
                f"{path} in the serving directory has no readable {PROVENANCE}: it was not pushed by gateline", remedy
            ) from None

    def publish(
        self, saved_model: Path, extra: dict[str, Path], provenance: dict[str, Any], *, expected: str, compared: str | None
    ) -> Version:
        """The new version, or the latest one if it holds the same model.

        `expected`: the digest that the gates saw. `compared`: the digest of the served model that it was compared with.

        Raises:
            Refused: the model on disk is not the one that was evaluated, or another was pushed since it was compared.
            StoreError: the serving directory cannot be written, or holds foreign content.
        """
        with files.explained(self.root, "cannot write to the serving directory"), self._lock():
            self._remember()
            last = self.latest()
            if last is not None and last.digest == provenance["model"]:
                return last
            if (last.digest if last else None) != compared:
                now = f"version {last.number} was pushed" if last else "the served version was removed"
                raise Refused(f"{now} while this model was evaluated", "Run again: it is then compared with what is served now.")
            if files.digest(files.listing(saved_model)) != expected:
                raise Refused(f"{saved_model} is not the model that was evaluated: its digest changed", "Run again with --force train.")
            highest = self.path / ".highest"  # a number is not given out again, even if its version was removed since
            number = max(last.number if last else 0, _number(highest)) + 1
            staged = self.path / f".staging-{number}"
            try:
                shutil.copytree(saved_model, staged)
                for name, source in extra.items():
                    (staged / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(source, staged / name)
                found = files.listing(staged, sync=True)
                files.write_json(staged / PROVENANCE, {**provenance, "version": number, "files": found})
                files.write_json(highest, number)
                files.commit(staged, self.path / str(number))
            except BaseException:
                files.remove(staged)
                raise
            self._remember()
            return self._version(self.path / str(number))

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        self.path.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.path / ".lock"):
            for leftover in self.path.glob(".staging-*"):
                files.remove(leftover)  # of a killed push: the lock is ours
            yield


def _record(version: Version) -> dict[str, Any]:
    accuracy = version.provenance.get("accuracy")
    if not isinstance(accuracy, float):
        raise StoreError(f"{version.path / PROVENANCE} records no accuracy", "Move that version away and run again.")
    return {"version": version.number, "model": version.digest, "accuracy": accuracy, "test": version.provenance.get("test", "")}


def _remembered(path: Path) -> dict[str, Any]:
    kinds = {"version": int, "model": str, "accuracy": float, "test": str}
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        if {name: type(value) for name, value in record.items()} == kinds and str(record["version"]) == path.stem:
            return record
    except (ValueError, AttributeError):
        pass
    raise StoreError(f"{path} is no record of a served version", "Remove it: that version is then no longer counted from.")


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def writable(root: Path) -> None:
    """Refuse early, before hours of training, a serving directory that could not be written.

    Raises:
        StoreError: it cannot be made or written.
    """
    with files.explained(root, "cannot write to the serving directory"):
        root.mkdir(parents=True, exist_ok=True)
        probe = root / ".gateline-probe"
        probe.touch()
        probe.unlink()
