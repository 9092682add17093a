"""The versions of one model, read-only."""

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
    """The versions in a model directory, and the records of earlier versions."""

    root: Path
    model: str

    @property
    def path(self) -> Path:
        return self.root / self.model

    def places(self) -> list[Path]:
        """All entries, readable or not: the versions, the oldest first, and entries without a number."""
        with files.explained(self.root, UNREAD):
            paths = (
                [path for path in self.path.iterdir() if not path.name.startswith(".")] if self.path.exists() else []
            )
        return sorted(paths, key=lambda path: (len(path.name), path.name))

    def numbers(self) -> list[int]:
        """The numbers of the versions, readable or not, the oldest first."""
        return [int(path.name) for path in self.places() if path.name.isdecimal()]

    def versions(self) -> list[Version]:
        """All versions, the oldest first.

        Raises:
            StoreError: one is damaged, or the directory holds foreign content.
        """
        return sorted((v for v in map(_standing, self.places()) if v), key=lambda v: v.number)

    def readable(self) -> list[Version]:
        """The readable versions, the oldest first. Ignores everything else."""
        versions = []
        for path in self.places():
            with contextlib.suppress(StoreError):
                versions.append(Version.read(path))
        return versions

    def latest(self) -> Version | None:
        """The version that TensorFlow Serving serves by default: the one with the highest number."""
        return next(reversed(self.versions()), None)

    def place(self, number: int) -> Path:
        """Raises ConfigurationError: there is no version of that number."""
        standing = self.numbers()
        if number not in standing:
            known = (
                f"Its versions are {', '.join(map(str, standing))}." if standing else "Nothing was pushed there yet."
            )
            raise ConfigurationError(f"there is no version {number} of {self.model} in {self.root}", known)
        return self.path / str(number)

    def version(self, number: int) -> Version:
        """One version, whatever the state of the others.

        Raises:
            ConfigurationError: there is no such version.
            StoreError: it is damaged, or not written by gateline.
        """
        return Version.read(self.place(number))

    def differences(self, version: Version) -> list[str]:
        """Differences from the pushed files, a line for each file, including the provenance against the record."""
        lines, record = version.differences(), Record.place(self.path, version.number)
        try:
            altered = record.exists() and Record.read(record).contradicts(version.record())
        except StoreError as error:
            return [*lines, error.cause]
        return lines + ([f"{PROVENANCE} was altered: {record} differs"] if altered else [])

    def findings(self, path: Path) -> list[str]:
        """The `differences` of the entry at one of the `places`, including that it cannot be read."""
        try:
            with files.explained(path, "cannot read"):
                return self.differences(Version.read(path))
        except StoreError as error:
            return [error.cause]

    def history(self) -> list[Record]:
        """Every version ever published here, the oldest first.

        Removed versions are recorded in `.history`, which the next publication updates.

        Raises:
            StoreError: a record is damaged, or differs from the version itself.
        """
        standing = {v.number: v for v in self.versions()}
        records = {number: version.record() for number, version in standing.items()}
        with files.explained(self.root, UNREAD):
            for path in sorted(self.path.glob(".history/[0-9]*.json")):
                record = Record.read(path)
                if record.version in standing and record.contradicts(records[record.version]):
                    cause = f"{standing[record.version].path / PROVENANCE} and {path} differ"
                    raise StoreError(cause, "One of them was altered: restore it from a copy, or remove it.")
                records.setdefault(record.version, record)
        return [records[number] for number in sorted(records)]

    def remembered(self) -> list[Record]:
        """As `history`, for readable entries only: a rollback works although others are damaged.

        Where a version and its record differ, the record counts: a damaged version may name another model.
        """
        records = {}
        for version in self.readable():
            with contextlib.suppress(StoreError):
                records[version.number] = version.record()
        for path in self.path.glob(".history/[0-9]*.json"):
            with contextlib.suppress(StoreError):
                record = Record.read(path)
                records[record.version] = record
        return [records[number] for number in sorted(records)]

    def withdrawn(self) -> dict[str, int]:
        """{identity: version} of the models that were rolled back, and not restored since."""
        return history.withdrawn(self.history())

    def best(self, test: str, *, before: int | None = None) -> tuple[Record, Version | None] | None:
        """The most accurate model ever served, on test split `test` if there is one, and a version that still holds it.

        `before`: only versions before that one.
        """
        held = {version.identity: version for version in self.versions()}
        best = history.best([r for r in self.history() if before is None or r.version < before], test, held)
        return (best, held.get(best.identity)) if best else None

    def pinned(self) -> set[int]:
        """Versions that stay until they are unpinned.

        Raises:
            StoreError: the list of them is damaged.
        """
        path = self.path / ".pinned.json"
        try:
            numbers = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return set()
        except (OSError, ValueError):
            numbers = None
        if not (isinstance(numbers, list) and all(type(number) is int for number in numbers)):
            raise StoreError(f"{path} is not a list of versions", "Remove it, and pin the versions again.")
        return set(numbers)

    def awaits(self, version: Version) -> bool:
        """Whether TensorFlow Serving must be checked for the version and was not yet: the run may have been killed."""
        return bool(version.provenance.get("watch")) and version.number > number_in(self.path / ".seen")

    def command(self, verb: str) -> str:
        """A command `serving ...` for this model."""
        place, model = shlex.quote(str(self.root)), shlex.quote(self.model)
        return f"python -m pipeline serving {verb} --serving-dir {place} --model {model}"

    def words_of_withdrawal(self, number: int) -> tuple[str, str]:
        """(cause, remedy) for a model that was rolled back as that version."""
        back = f", or restore it: {self.command(f'rollback --to {number}')}" if number in self.numbers() else "."
        return f"version {number}, which is this model, was rolled back", f"Train a new model{back}"


def _standing(path: Path) -> Version | None:
    """The version, or None if it was removed in the meantime."""
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
