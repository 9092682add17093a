"""A version in the serving directory."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.serving.history import Record
from pipeline.serving.provenance import PROVENANCE, fault
from pipeline.serving.signing import SIGNATURE
from schemas import files
from schemas.errors import StoreError


@dataclass(frozen=True)
class Version:
    """A version of a model in the serving directory."""

    path: Path
    number: int
    provenance: dict[str, Any]  # `model`: digest; `run`; `stages`: what it was made from; `files`: its manifest

    @classmethod
    def read(cls, path: Path) -> "Version":
        """The version at `path`, with validated provenance.

        Raises:
            StoreError: gateline did not write it, or its provenance is damaged.
        """
        remedy = "Move it away, or name another --serving-dir. Nothing was changed."
        if not (path.is_dir() and path.name.isdecimal() and not path.is_symlink()):
            raise StoreError(f"{path} in the serving directory was not written by gateline", remedy)
        content = None
        try:
            content = json.loads((path / PROVENANCE).read_text(encoding="utf-8"))
            if not (problem := fault(content)):
                return cls(path, int(path.name), content)
        except FileNotFoundError:
            problem = "it is missing"
        except OSError as error:
            problem = f"it cannot be read: {error.strerror}"
        except (ValueError, RecursionError):
            problem = "it is not JSON"
        if (isinstance(content, dict) and "model" in content) or Record.path(path.parent, int(path.name)).exists():
            cause = f"{path / PROVENANCE} was damaged since gateline wrote it: {problem}"
            raise StoreError(cause, "Restore it from a copy, or move that version away.")
        raise StoreError(
            f"{path} in the serving directory has no readable {PROVENANCE}: it was not pushed by gateline", remedy
        )

    @property
    def digest(self) -> str:
        """The digest of the model's files."""
        return str(self.provenance["model"])

    @property
    def identity(self) -> str:
        """Identifies what the model computes. Equal for models that differ only in their bytes."""
        return str(self.provenance.get("identity") or self.digest)

    @property
    def origin(self) -> int:
        """The version that first had this model. Differs from `number` only after a rollback."""
        return int(self.provenance.get("origin", self.number))

    @property
    def rollback(self) -> dict[str, Any] | None:
        """`of`: the version that was rolled back, `to`: the one whose model replaced it; `reason`, `at`. Or None."""
        rollback: dict[str, Any] | None = self.provenance.get("rollback")
        return rollback

    def record(self) -> Record:
        """The record of the version.

        Raises:
            StoreError: its provenance records no accuracy.
        """
        accuracy = self.provenance.get("accuracy")
        if not isinstance(accuracy, float):
            raise StoreError(f"{self.path / PROVENANCE} records no accuracy", "Move that version away and run again.")
        return Record(
            version=self.number,
            model=self.digest,
            accuracy=accuracy,
            test=self.provenance.get("test", ""),
            identity=self.identity,
            origin=self.origin,
            instead_of=self.rollback["of"] if self.rollback else 0,
            provenance=hashlib.sha256((self.path / PROVENANCE).read_bytes()).hexdigest(),
        )

    def differences(self) -> list[str]:
        """A line for each file that differs from the pushed one: it is missing, altered, added, or a symbolic link."""
        known = self.provenance.get("files")
        if not known:
            return [f"{PROVENANCE} names no files"]
        lines = files.differences(self.path, known, contents=True)
        if (number := self.provenance.get("version", self.number)) != self.number:
            lines.append(f"{PROVENANCE} is that of version {number}")
        for path in sorted(self.path.rglob("*")):
            name = str(path.relative_to(self.path))
            if name not in known and name not in (PROVENANCE, SIGNATURE) and (path.is_symlink() or not path.is_dir()):
                lines.append(f"{name} was added")
        return lines

    def check(self) -> None:
        """Checks that the version is unaltered.

        Raises:
            StoreError: it was altered since it was pushed.
        """
        if differences := self.differences():
            raise StoreError(
                f"{self.path} was altered since it was pushed: {differences[0]}",
                "Move that version away and run again.",
            )
