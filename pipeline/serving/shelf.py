"""The versions of one model: the only place that writes to a serving directory."""

import contextlib
import datetime
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from pipeline import files
from pipeline.serving import history
from pipeline.serving.directory import WHAT
from pipeline.serving.history import Record
from pipeline.serving.retention import leaving
from pipeline.serving.version import PROVENANCE, Version
from schemas.errors import ConfigurationError, DataError, Refused, StoreError


@dataclass(frozen=True)
class Shelf:
    """The versions of one model. Only this class writes to a serving directory."""

    root: Path
    model: str
    seal: Callable[[Path], None] | None = None  # what is done to a finished version before it appears

    @property
    def path(self) -> Path:
        return self.root / self.model

    def versions(self) -> list[Version]:
        """All versions, the oldest first.

        Raises:
            StoreError: something stands there that this program did not put there.
        """
        with files.explained(self.root, "cannot read the serving directory"):
            found = [_standing(p) for p in sorted(self.path.iterdir()) if not p.name.startswith(".")] if self.path.exists() else []
        return sorted((v for v in found if v), key=lambda v: v.number)

    def latest(self) -> Version | None:
        """The version that TensorFlow Serving serves by default: the one of the highest number."""
        return next(reversed(self.versions()), None)

    def version(self, number: int) -> Version:
        """Raises ConfigurationError: it does not stand there."""
        standing = {v.number: v for v in self.versions()}
        if number not in standing:
            known = f"These do: {', '.join(map(str, standing))}." if standing else "Nothing was pushed there yet."
            raise ConfigurationError(f"version {number} of {self.model} does not stand in {self.root}", known)
        return standing[number]

    def differences(self, version: Version) -> list[str]:
        """What differs from what was pushed, in words, a line a file; its provenance, too, is not what it was where the record differs."""
        record = self.path / ".history" / f"{version.number}.json"
        altered = record.exists() and Record.read(record).contradicts(version.record())
        return version.differences() + ([f"{PROVENANCE} was altered: {record} says something else"] if altered else [])

    def history(self) -> list[Record]:
        """Every version ever published here, the oldest first.

        Versions that were removed since are remembered in `.history`, which the next publication brings up to date.

        Raises:
            StoreError: a record is damaged, or says something else than the version itself.
        """
        standing = {v.number: v for v in self.versions()}
        found = {number: version.record() for number, version in standing.items()}
        with files.explained(self.root, "cannot read the serving directory"):
            for path in sorted(self.path.glob(".history/[0-9]*.json")):
                record = Record.read(path)
                if record.version in standing and record.contradicts(found[record.version]):
                    cause = f"{standing[record.version].path / PROVENANCE} and {path} differ"
                    raise StoreError(cause, "One was altered: put back what was, or remove the other.")
                found.setdefault(record.version, record)
        return [found[number] for number in sorted(found)]

    def withdrawn(self) -> dict[str, int]:
        """{identity: version} of the models that were rolled back, and not brought back since."""
        return history.withdrawn(self.history())

    def best(self, test: str, *, before: int | None = None) -> tuple[Record, Version | None] | None:
        """The most accurate model ever served, on the images `test` if any was, and a version that still holds it; of those that
        came before a version, if given."""
        held = {version.identity: version for version in self.versions()}
        found = history.best([r for r in self.history() if before is None or r.version < before], test, held)
        return (found, held.get(found.identity)) if found else None

    def pinned(self) -> set[int]:
        """Versions that stay until they are unpinned.

        Raises:
            StoreError: the list of them is damaged.
        """
        path = self.path / ".pinned.json"
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return set()
        except (OSError, ValueError):
            found = None
        if not (isinstance(found, list) and all(type(number) is int for number in found)):
            raise StoreError(f"{path} is no list of versions", "Remove it, and pin again what must stay.")
        return set(found)

    def pin(self, number: int, *, stays: bool = True) -> None:
        """From now on the version is never removed; or, where not `stays`, again like any other.

        Raises:
            ConfigurationError: it does not stand there.
        """
        with self._writing():
            self.version(number)
            pinned = self.pinned() | {number} if stays else self.pinned() - {number}
            files.write_json(self.path / ".pinned.json", sorted(pinned))

    def awaits(self, version: Version) -> bool:
        """Whether the version was pushed to be watched, and nobody saw it served yet: whoever watched may have been killed."""
        return bool(version.provenance.get("watch")) and version.number > _number(self.path / ".seen")

    def saw(self, version: Version) -> None:
        """From now on the version is not awaited."""
        with self._writing():
            files.write_json(self.path / ".seen", version.number)

    def publish(
        self, saved_model: Path, extra: dict[str, Path], provenance: dict[str, Any], *, expected: str, compared: str | None
    ) -> tuple[Version, bool]:
        """(the new version, True), or (the latest one, False) if it holds the same model.

        `expected`: the digest that the gates saw. `compared`: the digest of the served model that it was compared with.

        Raises:
            Refused: the model on disk is not the one that was evaluated, another was pushed since it was compared, or it was rolled back.
            StoreError: the serving directory cannot be written, or holds foreign content.
        """

        def fill(staged: Path) -> None:
            shutil.copytree(saved_model, staged, symlinks=True)  # a link is refused by its digest, not followed
            if files.digest(files.listing(staged)) != expected:
                raise Refused(f"{saved_model} is not the model that was evaluated: its digest changed", "Run again with --force train.")
            for name, source in extra.items():
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, staged / name)

        identity = provenance.get("identity") or provenance["model"]
        with self._writing():
            last = self.latest()
            if last is not None and last.identity == identity:
                return last, False
            if (last.digest if last else None) != compared:
                now = f"version {last.number} was pushed" if last else "the served version was removed"
                raise Refused(f"{now} while this model was evaluated", "Run again: it is then compared with what is served now.")
            if taken_back := self.withdrawn().get(identity):
                raise Refused(*self.words_of_withdrawal(taken_back))
            return self._appear(fill, provenance), True

    def words_of_withdrawal(self, number: int) -> tuple[str, str]:
        """(cause, way out) for a model that was rolled back as that version."""
        back = f", or bring it back: python -m pipeline serving rollback --to {number}"
        stands = any(version.number == number for version in self.versions())
        return f"version {number}, which is this model, was rolled back", f"Train a new model{back if stands else ''}."

    def rollback(self, *, to: int | None = None, reason: str = "") -> Version:
        """A new version that holds the model of an older one: `to`, or the newest that holds another model and was not rolled back.

        Raises:
            Refused: there is no such version.
            ConfigurationError: `to` does not stand there, or is what is served now.
            DataError: that version was altered since it was pushed.
        """
        with self._writing():
            latest, target = self._rollback_target(to)
            if wrong := target.differences():
                raise DataError(f"{target.path} was altered since it was pushed: {wrong[0]}", "Name another version with --to.")

            def fill(staged: Path) -> None:
                for name in target.provenance["files"]:
                    (staged / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(target.path / name, staged / name)
                if files.listing(staged) != target.provenance["files"]:
                    raise DataError(f"{target.path} was altered while it was copied", "Name another version with --to.")

            how = {"of": latest.number, "to": target.number, "reason": reason, "at": _now()}
            return self._appear(fill, {**target.provenance, "watch": None, "rollback": how, "origin": target.origin})

    def _rollback_target(self, to: int | None) -> tuple[Version, Version]:
        """(the version that is served, the one whose model comes in its place)."""
        versions = self.versions()
        if not versions:
            raise Refused(f"nothing is served as {self.model}", "Push a model first.")
        *older, latest = versions
        if to is not None:
            target = self.version(to)
            if target.identity == latest.identity:
                raise ConfigurationError(f"version {latest.number}, which is served, holds the model of version {to}", "Name another.")
            return latest, target
        good = [v for v in older if v.identity not in {latest.identity, *self.withdrawn()}]
        if not good:
            cause = f"there is no version of {self.model} to go back to that is another model than version {latest.number}"
            raise Refused(cause, "Name one with --to, if one that was rolled back would do; python -m pipeline serving list shows them.")
        return latest, good[-1]

    def _appear(self, fill: Callable[[Path], None], provenance: dict[str, Any]) -> Version:
        """The next version, made by `fill` in a directory beside, flushed, and renamed when it is whole. Under the lock."""
        highest = self.path / ".highest"  # a number is not given out again, even if its version was removed since
        number = max(0, _number(highest), *(v.number for v in self.versions())) + 1
        staged, final = self.path / f".staging-{number}", self.path / str(number)
        try:
            fill(staged)
            found = files.listing(staged, sync=True)
            files.write_json(staged / PROVENANCE, {**provenance, "version": number, "files": found, "published": _now()})
            if self.seal:
                self.seal(staged)
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
        """Remove older versions beyond `keep`; these went. What is served, the one below it, the one that a rollback goes to, the
        pinned, and the best ever served, which later candidates are compared with, stay."""
        with self._writing():
            gone = self.leaving(keep)
            for version in gone:
                leaving_ = self.path / f".removing-{version.number}"
                version.path.rename(leaving_)  # at once: nobody sees half of it
                files.sync_directory(self.path)
                files.remove(leaving_)
            return gone

    def _remember(self) -> None:
        for version in self.versions():
            path = self.path / ".history" / f"{version.number}.json"
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                version.record().write(path)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Alone with the shelf, whose history is up to date; what killed processes left is gone."""
        with files.explained(self.root, WHAT):
            self.path.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.path / ".lock"):
                for pattern in (".staging-*", ".removing-*", "..*.*", ".history/.*"):
                    for leftover in self.path.glob(pattern):
                        files.remove(leftover)
                self._remember()
                yield


def _standing(path: Path) -> Version | None:
    """The version, or None where it was removed while this looked at it."""
    try:
        return Version.read(path)
    except StoreError:
        if not path.exists() and not path.is_symlink():
            return None
        raise


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
