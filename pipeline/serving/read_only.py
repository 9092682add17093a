"""The versions of one model, as they stand: all that can be asked of them without writing."""

import contextlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from pipeline.serving import history
from pipeline.serving.history import Record
from pipeline.serving.provenance import PROVENANCE
from pipeline.serving.version import Version
from schemas import files
from schemas.errors import ConfigurationError, StoreError

UNREAD = "cannot read the serving directory"


@dataclass(frozen=True)
class ReadOnlyView:
    """What stands in a model's folder of the serving directory, and what is remembered of what stood there."""

    root: Path
    model: str

    @property
    def path(self) -> Path:
        return self.root / self.model

    def places(self) -> list[Path]:
        """All that stands there, readable or not: the versions, the oldest first, and among them what has no number."""
        with files.explained(self.root, UNREAD):
            found = (
                [path for path in self.path.iterdir() if not path.name.startswith(".")] if self.path.exists() else []
            )
        return sorted(found, key=lambda path: (len(path.name), path.name))

    def numbers(self) -> list[int]:
        """Those of the versions that stand there, readable or not, the oldest first."""
        return [int(path.name) for path in self.places() if path.name.isdecimal()]

    def versions(self) -> list[Version]:
        """All versions, the oldest first.

        Raises:
            StoreError: one is damaged, or something stands there that this program did not put there.
        """
        return sorted((v for v in map(_standing, self.places()) if v), key=lambda v: v.number)

    def readable(self) -> list[Version]:
        """The versions that can be read, the oldest first, whatever else stands there."""
        found = []
        for path in self.places():
            with contextlib.suppress(StoreError):
                found.append(Version.read(path))
        return found

    def latest(self) -> Version | None:
        """The version that TensorFlow Serving serves by default: the one of the highest number."""
        return next(reversed(self.versions()), None)

    def place(self, number: int) -> Path:
        """Raises ConfigurationError: no version of that number stands there."""
        standing = self.numbers()
        if number not in standing:
            known = f"These do: {', '.join(map(str, standing))}." if standing else "Nothing was pushed there yet."
            raise ConfigurationError(f"version {number} of {self.model} does not stand in {self.root}", known)
        return self.path / str(number)

    def version(self, number: int) -> Version:
        """Whatever is wrong with others.

        Raises:
            ConfigurationError: it does not stand there.
            StoreError: it is damaged, or no version of this program's.
        """
        return Version.read(self.place(number))

    def differences(self, version: Version) -> list[str]:
        """Differences from the pushed files, a line for each file, including the provenance against the record."""
        found, record = version.differences(), Record.place(self.path, version.number)
        try:
            altered = record.exists() and Record.read(record).contradicts(version.record())
        except StoreError as error:
            return [*found, error.cause]
        return found + ([f"{PROVENANCE} was altered: {record} says something else"] if altered else [])

    def findings(self, path: Path) -> list[str]:
        """The `differences` of what stands at one of the `places`; that it cannot be read is one, too."""
        try:
            with files.explained(path, "cannot read"):
                return self.differences(Version.read(path))
        except StoreError as error:
            return [error.cause]

    def history(self) -> list[Record]:
        """Every version ever published here, the oldest first.

        Versions that were removed since are remembered in `.history`, which the next publication brings up to date.

        Raises:
            StoreError: a record is damaged, or says something else than the version itself.
        """
        standing = {v.number: v for v in self.versions()}
        found = {number: version.record() for number, version in standing.items()}
        with files.explained(self.root, UNREAD):
            for path in sorted(self.path.glob(".history/[0-9]*.json")):
                record = Record.read(path)
                if record.version in standing and record.contradicts(found[record.version]):
                    cause = f"{standing[record.version].path / PROVENANCE} and {path} differ"
                    raise StoreError(cause, "One was altered: put back what was, or remove the other.")
                found.setdefault(record.version, record)
        return [found[number] for number in sorted(found)]

    def remembered(self) -> list[Record]:
        """As `history`, of what can be read: a rollback need not wait until all is fixed.

        Where a version and its record differ, the record counts: a damaged version may name another model.
        """
        found = {}
        for version in self.readable():
            with contextlib.suppress(StoreError):
                found[version.number] = version.record()
        for path in self.path.glob(".history/[0-9]*.json"):
            with contextlib.suppress(StoreError):
                record = Record.read(path)
                found[record.version] = record
        return [found[number] for number in sorted(found)]

    def withdrawn(self) -> dict[str, int]:
        """{identity: version} of the models that were rolled back, and not brought back since."""
        return history.withdrawn(self.history())

    def best(self, test: str, *, before: int | None = None) -> tuple[Record, Version | None] | None:
        """The most accurate model ever served, on the images `test` if any was, and a version that still holds it.

        `before`: only versions before that one.
        """
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
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return set()
        except (OSError, ValueError):
            found = None
        if not (isinstance(found, list) and all(type(number) is int for number in found)):
            raise StoreError(f"{path} is no list of versions", "Remove it, and pin again what must stay.")
        return set(found)

    def awaits(self, version: Version) -> bool:
        """Whether the version is to be watched and was not seen served yet: the watching run may have been killed."""
        return bool(version.provenance.get("watch")) and version.number > number_in(self.path / ".seen")

    def command(self, verb: str) -> str:
        """A command `serving ...` about this model, as it is typed."""
        place, model = shlex.quote(str(self.root)), shlex.quote(self.model)
        return f"python -m pipeline serving {verb} --serving-dir {place} --model {model}"

    def words_of_withdrawal(self, number: int) -> tuple[str, str]:
        """(cause, way out) for a model that was rolled back as that version."""
        back = f", or bring it back: {self.command(f'rollback --to {number}')}" if number in self.numbers() else "."
        return f"version {number}, which is this model, was rolled back", f"Train a new model{back}"


def _standing(path: Path) -> Version | None:
    """The version, or None where it was removed while this looked at it."""
    try:
        return Version.read(path)
    except StoreError:
        if not path.exists() and not path.is_symlink():
            return None
        raise


def number_in(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
