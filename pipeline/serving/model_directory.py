"""Writes the versions of one model: publishes, rolls back, pins and removes them."""

import contextlib
import datetime
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from pipeline.serving import history
from pipeline.serving.directory import NOT_WRITABLE
from pipeline.serving.history import Record
from pipeline.serving.provenance import PROVENANCE
from pipeline.serving.read_only import ReadOnlyView, number_in
from pipeline.serving.retention import removable
from pipeline.serving.signing import Seal
from pipeline.serving.version import Version
from schemas import disk, files, places
from schemas.errors import ConfigurationError, DataError, Refused, StoreError


@dataclass(frozen=True)
class ModelDirectory(ReadOnlyView):
    """The versions of one model. Only this class writes to a serving directory."""

    seal: Seal | None = None  # signs a complete version before it is published, and verifies signatures

    def pin(self, number: int, *, pinned: bool = True) -> None:
        """Pins a version, so that it is never removed. With `pinned=False`, unpins it.

        Raises:
            ConfigurationError: there is no such version.
        """
        with self._writing():
            numbers = self.pinned()
            if pinned or number not in numbers:  # a missing version can be unpinned
                self.version(number)
            disk.write_json(self.path / ".pinned.json", sorted(numbers | {number} if pinned else numbers - {number}))

    def mark_checked(self, version: Version) -> None:
        """Records that TensorFlow Serving was checked for the version, or need not be."""
        with self._writing():
            disk.write_json(self.path / ".seen", version.number)

    def publish(
        self,
        saved_model: Path,
        extra: dict[str, Path],
        provenance: dict[str, Any],
        *,
        expected: str,
        compared: str | None,
        check: Callable[[Path], None] = lambda _: None,
    ) -> tuple[Version, bool]:
        """Publishes a model. Returns (the new version, True), or (the latest one, False) if that has the same model.

        `expected`: digest of the evaluated model. `compared`: digest of the served model that it was compared with.
        `check`: called with the new version's directory before it is published; an error stops the push.

        Raises:
            ConfigurationError: TensorFlow cannot load a model from the serving directory.
            Refused: the model on disk is not the evaluated one, another version was pushed since the comparison, or the
                model was rolled back.
            StoreError: the serving directory is not writable, or contains foreign files.
        """

        def fill(staged: Path) -> None:
            shutil.copytree(
                saved_model, staged, symlinks=True
            )  # symbolic links are copied as such; the digest refuses them
            if files.digest(files.listing(staged)) != expected:
                raise Refused(
                    f"{saved_model} is not the model that was evaluated: its digest changed",
                    files.rerun(saved_model),
                )
            for name, source in extra.items():
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, staged / name)
            check(staged)

        places.check_loadable(self.root, "--serving-dir")  # of its other parts, a version's path has no such characters
        identity = provenance.get("identity") or provenance["model"]
        with self._writing():
            last = self.latest()
            if last is not None and last.identity == identity:
                return last, False
            if (last.digest if last else None) != compared:
                change = f"version {last.number} was pushed" if last else "the served version was removed"
                raise Refused(
                    f"{change} while this model was evaluated",
                    "Run again to compare it with the version that is served now.",
                )
            if rolled_back := self.rolled_back().get(identity):
                raise Refused(*self.rolled_back_message(rolled_back))
            return self._publish(fill, provenance), True

    def rollback(self, *, to: int | None = None, reason: str = "") -> Version:
        """Publishes the model of an older version as a new one: of `to`, or the newest that was not rolled back.

        Reads only what it needs, so damaged other versions and foreign files do not prevent a rollback.

        Raises:
            Refused: there is no such version, or it lacks a required signature.
            ConfigurationError: `to` does not exist, or is the served version.
            DataError: the version was altered since it was pushed.
            StoreError: the version is damaged, or the served version is damaged and has no record.
        """
        with self._writing():
            current, target = self._rollback_target(to)
            if differences := self.differences(target):
                raise DataError(
                    f"{target.path} was altered since it was pushed: {differences[0]}",
                    "Name another version with --to.",
                )
            if self.seal:  # otherwise an altered version would get a valid signature
                self.seal.require(target.path, "Name another version with --to")

            def fill(staged: Path) -> None:
                for name in target.provenance["files"]:
                    (staged / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(target.path / name, staged / name)
                if files.listing(staged) != target.provenance["files"]:
                    raise DataError(f"{target.path} was altered while it was copied", "Name another version with --to.")

            details = {"of": current, "to": target.number, "reason": reason, "at": _now()}
            return self._publish(
                fill, {**target.provenance, "watch": None, "rollback": details, "origin": target.origin}
            )

    def _rollback_target(self, to: int | None) -> tuple[int, Version]:
        """(the served version, the version whose model replaces it)."""
        numbers, records = self.numbers(), self.readable_history()
        if not numbers:
            raise Refused(f"no version of {self.model} is served", "Push a model first.")
        served = next((r for r in records if r.version == numbers[-1]), None) or self.version(numbers[-1]).record()
        if to is not None:
            target = self.version(to)
            if target.identity == served.identity:
                raise ConfigurationError(
                    f"version {served.version}, which is served, holds the model of version {to}", "Name another."
                )
            return served.version, target
        excluded = {served.identity, *history.rolled_back(records)}
        candidates = [v for v in self.readable() if v.identity not in excluded and v.number < served.version]
        if not candidates:
            cause = f"{self.model} has no earlier version with another model than version {served.version}"
            raise Refused(
                cause, f"To choose one that was rolled back, use --to; list the versions: {self.command('list')}"
            )
        return served.version, candidates[-1]

    def _publish(self, fill: Callable[[Path], None], provenance: dict[str, Any]) -> Version:
        """Publishes the next version: `fill` writes a staging directory; it is flushed and renamed. Needs the lock."""
        highest = self.path / ".highest"  # a number is never reused, even if its version was removed
        number = max(0, number_in(highest), *self.numbers()) + 1
        staged, final = self.path / f".staging-{number}", self.path / str(number)
        try:
            fill(staged)
            listing = files.listing(staged, sync=True)
            disk.write_json(
                staged / PROVENANCE, {**provenance, "version": number, "files": listing, "published": _now()}
            )
            if self.seal:
                self.seal.sign(staged)
                files.listing(staged, sync=True)
            disk.write_json(highest, number)
            disk.commit(staged, final)
        except BaseException:
            disk.remove(staged)
            raise
        self._update_history()
        return Version.read(final)

    def removable(self, keep: int) -> list[Version]:
        """The versions that `apply_retention` would remove, the oldest first."""
        versions, protected = self.versions(), self.pinned()
        if versions and (best := self.best(versions[-1].provenance.get("test", ""))):
            protected |= {best[1].number} if best[1] else set()
        with contextlib.suppress(Refused):
            protected |= {self._rollback_target(None)[1].number}
        numbers = removable([v.number for v in versions], keep=keep, protected=protected)
        return [v for v in versions if v.number in numbers]

    def apply_retention(self, keep: int) -> list[Version]:
        """Removes and returns older versions beyond `keep`. Keeps the served and the previous version, the target of a
        rollback, pinned versions, and the best version ever served, which later candidates are compared with."""
        with self._writing():
            removed = self.removable(keep)
            for version in removed:
                temporary = self.path / f".removing-{version.number}"
                version.path.rename(temporary)  # atomic: readers never see an incomplete version
                disk.sync_directory(self.path)
                disk.remove(temporary)
            return removed

    def _update_history(self) -> None:
        for version in self.readable():
            path = Record.path(self.path, version.number)
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                with contextlib.suppress(StoreError):  # `history` reports the damage
                    version.record().write(path)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Holds the lock of the model directory. Updates the history and removes files of killed processes."""
        with places.explained(self.root, NOT_WRITABLE):
            self.path.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.path / ".lock"):
                for pattern in (".staging-*", ".removing-*", "..*.*", ".history/.*"):
                    for leftover in self.path.glob(pattern):
                        disk.remove(leftover)
                self._update_history()
                yield


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
