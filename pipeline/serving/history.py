"""The records of all versions ever served, and what follows from them: the best and the rolled-back models."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from schemas import disk
from schemas.errors import StoreError


@dataclass(frozen=True)
class Record:
    """The record of a version: a file in `.history` that remains after the version is removed."""

    version: int
    model: str  # digest of the model's files
    accuracy: float  # on the test split, in [0, 1]
    test: str  # digest of the test split
    identity: str  # digest of what the model computes
    origin: int  # the version that first held this model
    instead_of: int = 0  # the version that it replaced by a rollback; 0: none
    provenance: str = ""  # SHA-256 of its provenance

    @staticmethod
    def path(directory: Path, number: int) -> Path:
        """The path of a version's record."""
        return directory / ".history" / f"{number}.json"

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Raises StoreError: the record is damaged."""
        kinds = {field.name: field.type for field in fields(cls)}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            # Records of older versions of gateline have neither identity nor origin.
            content = {"identity": content["model"], "origin": content["version"], **content}
            record = cls(**content)
            if record.version == int(path.stem) and all(type(value) is kinds[name] for name, value in content.items()):
                return record
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise StoreError(
            f"{path} is not a record of a served version", "Remove it. The version is then no longer in the history."
        )

    def write(self, path: Path) -> None:
        disk.write_json(path, asdict(self))

    def contradicts(self, current: "Record") -> bool:
        """Whether the version differs from this record. Records of older versions of gateline have fewer fields."""
        return replace(self, provenance="") != replace(current, provenance="") or self.provenance not in (
            "",
            current.provenance,
        )


def rolled_back(history: Iterable[Record]) -> dict[str, int]:
    """{identity: version} of the models that were rolled back and not restored."""
    rolled_back, identities = dict[str, int](), dict[int, str]()
    for record in history:
        identities[record.version] = record.identity
        if record.identity in rolled_back:
            del rolled_back[record.identity]  # restored, so the version that it replaces is not rolled back
        elif record.instead_of in identities:
            rolled_back[identities[record.instead_of]] = record.instead_of
    return rolled_back


def best(history: Iterable[Record], test: str, available: Collection[str]) -> Record | None:
    """The most accurate model ever served, the newest of equals. None if there is none.

    Accuracies are comparable only on the same test images. Versions measured on `test` take precedence, then those
    whose model is still `available` and can be evaluated again. Withdrawn models are excluded.
    """
    all_records = list(history)
    records = [record for record in all_records if record.identity not in rolled_back(all_records)]
    candidates = [r for r in records if r.test == test] or [r for r in records if r.identity in available] or records
    return max(candidates, key=lambda record: (record.accuracy, record.version), default=None)
