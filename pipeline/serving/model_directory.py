"""The versions of one model, for writing."""

import contextlib
import datetime
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from pipeline.serving import history
from pipeline.serving.directory import WHAT
from pipeline.serving.history import Record
from pipeline.serving.provenance import PROVENANCE
from pipeline.serving.read_only import ReadOnlyView, number_in
from pipeline.serving.retention import leaving
from pipeline.serving.signing import Seal
from pipeline.serving.version import Version
from schemas import files
from schemas.errors import ConfigurationError, DataError, Refused, StoreError


@dataclass(frozen=True)
class ModelDirectory(ReadOnlyView):
    """The versions of one model. Only this class writes to a serving directory."""

    seal: Seal | None = None  # signs a finished version before it is published, and verifies signatures

    def pin(self, number: int, *, stays: bool = True) -> None:
        """Pins a version, which is then never removed; or unpins it if not `stays`.

        Raises:
            ConfigurationError: there is no such version.
        """
        with self._writing():
            pinned = self.pinned()
            if stays or number not in pinned:  # a pinned version that is missing can be unpinned
                self.version(number)
            files.write_json(self.path / ".pinned.json", sorted(pinned | {number} if stays else pinned - {number}))

    def saw(self, version: Version) -> None:
        """Records that TensorFlow Serving need not be checked for the version any more."""
        with self._writing():
            files.write_json(self.path / ".seen", version.number)

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
        """(the new version, True), or (the latest one, False) if it holds the same model.

        `expected`: digest of the evaluated model. `compared`: digest of the served model that it was compared with.
        `check`: called with the new version's directory before it is published; an error stops the push.

        Raises:
            Refused: the model on disk is not the one that was evaluated, another was pushed since it was compared, or
                it was rolled back.
            StoreError: the serving directory cannot be written, or holds foreign content.
        """

        def fill(staged: Path) -> None:
            shutil.copytree(
                saved_model, staged, symlinks=True
            )  # symbolic links are copied, and then refused with the digest
            if files.digest(files.listing(staged)) != expected:
                raise Refused(
                    f"{saved_model} is not the model that was evaluated: its digest changed",
                    "Run again with --force train.",
                )
            for name, source in extra.items():
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, staged / name)
            check(staged)

        identity = provenance.get("identity") or provenance["model"]
        with self._writing():
            last = self.latest()
            if last is not None and last.identity == identity:
                return last, False
            if (last.digest if last else None) != compared:
                now = f"version {last.number} was pushed" if last else "the served version was removed"
                raise Refused(
                    f"{now} while this model was evaluated",
                    "Run again to compare it with the version that is served now.",
                )
            if taken_back := self.withdrawn().get(identity):
                raise Refused(*self.words_of_withdrawal(taken_back))
            return self._appear(fill, provenance), True

    def rollback(self, *, to: int | None = None, reason: str = "") -> Version:
        """A new version with the model of an older one: `to`, or the newest other model that was not rolled back.

        Reads only what it needs: other damaged versions and foreign content do not prevent a rollback.

        Raises:
            Refused: there is no such version, or it lacks a required signature.
            ConfigurationError: `to` does not exist, or is the served version.
            DataError: that version was altered since it was pushed.
            StoreError: it is damaged, or the served version is damaged and has no record.
        """
        with self._writing():
            of, target = self._rollback_target(to)
            if wrong := self.differences(target):
                raise DataError(
                    f"{target.path} was altered since it was pushed: {wrong[0]}", "Name another version with --to."
                )
            if self.seal:  # otherwise a version that was altered without the key would get a valid signature
                self.seal.insist(target.path, "Name another version with --to")

            def fill(staged: Path) -> None:
                for name in target.provenance["files"]:
                    (staged / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(target.path / name, staged / name)
                if files.listing(staged) != target.provenance["files"]:
                    raise DataError(f"{target.path} was altered while it was copied", "Name another version with --to.")

            how = {"of": of, "to": target.number, "reason": reason, "at": _now()}
            return self._appear(fill, {**target.provenance, "watch": None, "rollback": how, "origin": target.origin})

    def _rollback_target(self, to: int | None) -> tuple[int, Version]:
        """(the served version, the version whose model replaces it)."""
        numbers, remembered = self.numbers(), self.remembered()
        if not numbers:
            raise Refused(f"no version of {self.model} is served", "Push a model first.")
        now = next((r for r in remembered if r.version == numbers[-1]), None) or self.version(numbers[-1]).record()
        if to is not None:
            target = self.version(to)
            if target.identity == now.identity:
                raise ConfigurationError(
                    f"version {now.version}, which is served, holds the model of version {to}", "Name another."
                )
            return now.version, target
        bad = {now.identity, *history.withdrawn(remembered)}
        good = [v for v in self.readable() if v.identity not in bad and v.number < now.version]
        if not good:
            cause = f"{self.model} has no earlier version with another model than version {now.version}"
            raise Refused(
                cause, f"To choose one that was rolled back, use --to; list the versions: {self.command('list')}"
            )
        return now.version, good[-1]

    def _appear(self, fill: Callable[[Path], None], provenance: dict[str, Any]) -> Version:
        """The next version. `fill` writes a staging directory, which is flushed, then renamed. Needs the lock."""
        highest = self.path / ".highest"  # a number is never used again, even if its version was removed
        number = max(0, number_in(highest), *self.numbers()) + 1
        staged, final = self.path / f".staging-{number}", self.path / str(number)
        try:
            fill(staged)
            found = files.listing(staged, sync=True)
            files.write_json(
                staged / PROVENANCE, {**provenance, "version": number, "files": found, "published": _now()}
            )
            if self.seal:
                self.seal.put(staged)
                files.listing(staged, sync=True)
            files.write_json(highest, number)
            files.commit(staged, final)
        except BaseException:
            files.remove(staged)
            raise
        self._remember()
        return Version.read(final)

    def leaving(self, keep: int) -> list[Version]:
        """What `retire` would remove, the oldest first."""
        versions, precious = self.versions(), self.pinned()
        if versions and (best := self.best(versions[-1].provenance.get("test", ""))):
            precious |= {best[1].number} if best[1] else set()
        with contextlib.suppress(Refused):
            precious |= {self._rollback_target(None)[1].number}
        gone = leaving([v.number for v in versions], keep=keep, precious=precious)
        return [v for v in versions if v.number in gone]

    def retire(self, keep: int) -> list[Version]:
        """Removes and returns older versions beyond `keep`. Keeps the served and the previous version, the target of a
        rollback, pinned versions, and the best ever served, with which later candidates are compared."""
        with self._writing():
            gone = self.leaving(keep)
            for version in gone:
                leaving_ = self.path / f".removing-{version.number}"
                version.path.rename(leaving_)  # atomic: readers never see a part of it
                files.sync_directory(self.path)
                files.remove(leaving_)
            return gone

    def _remember(self) -> None:
        for version in self.readable():
            path = Record.place(self.path, version.number)
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                with contextlib.suppress(StoreError):  # damage is reported by `history`
                    version.record().write(path)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Holds the lock of the model directory, updates its history, and removes what killed processes left."""
        with files.explained(self.root, WHAT):
            self.path.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.path / ".lock"):
                for pattern in (".staging-*", ".removing-*", "..*.*", ".history/.*"):
                    for leftover in self.path.glob(pattern):
                        files.remove(leftover)
                self._remember()
                yield


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
