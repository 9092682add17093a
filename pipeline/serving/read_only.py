"""Reads the versions of one model, without writing."""

import contextlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from pipeline.serving import history
from pipeline.serving.history import Record
from pipeline.serving.provenance import PROVENANCE
from pipeline.serving.version import Version
from schemas import places
from schemas.errors import ConfigurationError, StoreError

NOT_READABLE = "cannot read the serving directory"


@dataclass(frozen=True)
class ReadOnlyView:
    """The versions in a model directory, and the records of earlier versions."""

    root: Path
    model: str

    @property
    def path(self) -> Path:
        return self.root / self.model

    def entries(self) -> list[Path]:
        """All entries, readable or not: the versions, the oldest first, and entries that are not versions."""
        with places.explained(self.root, NOT_READABLE):
            paths = (
                [path for path in self.path.iterdir() if not path.name.startswith(".")] if self.path.exists() else []
            )
        return sorted(paths, key=lambda path: (len(path.name), path.name))

    def numbers(self) -> list[int]:
        """The numbers of the versions, readable or not, the oldest first."""
        return [int(path.name) for path in self.entries() if path.name.isdecimal()]

    def versions(self) -> list[Version]:
        """All versions, the oldest first.

        Raises:
            StoreError: a version is damaged, or the directory contains foreign files.
        """
        return sorted((v for v in map(_version_or_none, self.entries()) if v), key=lambda v: v.number)

    def readable(self) -> list[Version]:
        """The readable versions, the oldest first. Ignores all other entries."""
        versions = []
        for path in self.entries():
            with contextlib.suppress(StoreError):
                versions.append(Version.read(path))
        return versions

    def latest(self) -> Version | None:
        """The version that TensorFlow Serving serves by default: the one with the highest number."""
        return next(reversed(self.versions()), None)

    def version_path(self, number: int) -> Path:
        """The path of a version.

        Raises:
            ConfigurationError: there is no version with this number.
        """
        numbers = self.numbers()
        if number not in numbers:
            known = f"Its versions are {', '.join(map(str, numbers))}." if numbers else "Nothing was pushed there yet."
            raise ConfigurationError(f"there is no version {number} of {self.model} in {self.root}", known)
        return self.path / str(number)

    def version(self, number: int) -> Version:
        """One version. The others may be damaged.

        Raises:
            ConfigurationError: there is no such version.
            StoreError: it is damaged, or was not written by gateline.
        """
        return Version.read(self.version_path(number))

    def differences(self, version: Version) -> list[str]:
        """Differences from the pushed files, a line for each file. Compares the provenance with the record, too."""
        lines, record = version.differences(), Record.path(self.path, version.number)
        try:
            altered = record.exists() and Record.read(record).contradicts(version.record())
        except StoreError as error:
            return [*lines, error.cause]
        return lines + ([f"{PROVENANCE} was altered: {record} differs"] if altered else [])

    def findings(self, path: Path) -> list[str]:
        """The `differences` of one of the `entries`. If it cannot be read, the cause."""
        try:
            with places.explained(path, "cannot read"):
                return self.differences(Version.read(path))
        except StoreError as error:
            return [error.cause]

    def history(self) -> list[Record]:
        """Every version ever published here, the oldest first.

        Removed versions are recorded in `.history`, which the next publication updates.

        Raises:
            StoreError: a record is damaged, or differs from the version itself.
        """
        versions = {v.number: v for v in self.versions()}
        records = {number: version.record() for number, version in versions.items()}
        with places.explained(self.root, NOT_READABLE):
            for path in sorted(self.path.glob(".history/[0-9]*.json")):
                record = Record.read(path)
                if record.version in versions and record.contradicts(records[record.version]):
                    cause = f"{versions[record.version].path / PROVENANCE} and {path} differ"
                    raise StoreError(cause, "One of them was altered: restore it from a copy, or remove it.")
                records.setdefault(record.version, record)
        return [records[number] for number in sorted(records)]

    def readable_history(self) -> list[Record]:
        """Like `history`, but ignores unreadable entries, so that a rollback works although others are damaged.

        If a version and its record differ, the record takes precedence: a damaged version may name another model.
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

    def rolled_back(self) -> dict[str, int]:
        """{identity: version} of the models that were rolled back and not restored."""
        return history.rolled_back(self.history())

    def best(self, test: str, *, before: int | None = None) -> tuple[Record, Version | None] | None:
        """(record of the most accurate model ever served, a version that still has this model), or None.

        `test`: digest of the test split that accuracies are preferably from. `before`: only versions before this one.
        """
        available = {version.identity: version for version in self.versions()}
        best = history.best([r for r in self.history() if before is None or r.version < before], test, available)
        return (best, available.get(best.identity)) if best else None

    def pinned(self) -> set[int]:
        """The pinned versions, which are never removed.

        Raises:
            StoreError: `.pinned.json` is damaged.
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

    def needs_rollout_check(self, version: Version) -> bool:
        """Whether TensorFlow Serving must still be checked for the version, for example after a kill."""
        return bool(version.provenance.get("watch")) and version.number > number_in(self.path / ".seen")

    def command(self, verb: str) -> str:
        """A command `serving ...` for this model."""
        root, model = shlex.quote(str(self.root)), shlex.quote(self.model)
        return f"python -m pipeline serving {verb} --serving-dir {root} --model {model}"

    def rolled_back_message(self, number: int) -> tuple[str, str]:
        """(cause, remedy) for a model that was rolled back as that version."""
        restore = f", or restore it: {self.command(f'rollback --to {number}')}" if number in self.numbers() else "."
        return f"version {number}, which is this model, was rolled back", f"Train a new model{restore}"


def _version_or_none(path: Path) -> Version | None:
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
