"""The record of every version ever served, and what is derived from it."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from schemas import files
from schemas.errors import StoreError


@dataclass(frozen=True)
class Record:
    """The record of a version that is kept after its removal: a file in `.history`."""

    version: int
    model: str  # digest of the model's files
    accuracy: float  # on the test split, in [0, 1]
    test: str  # digest of the test split
    identity: str  # of what the model computes
    origin: int  # the version that first held this model
    instead_of: int = 0  # the version that it replaced by a rollback; 0: none
    provenance: str = ""  # SHA-256 of its provenance

    @staticmethod
    def place(shelf: Path, number: int) -> Path:
        """The path of a version's record."""
        return shelf / ".history" / f"{number}.json"

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Raises StoreError: the record is damaged."""
        kinds = {field.name: field.type for field in fields(cls)}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            # Older records have neither identity nor origin.
            content = {"identity": content["model"], "origin": content["version"], **content}
            record = cls(**content)
            if record.version == int(path.stem) and all(type(value) is kinds[name] for name, value in content.items()):
                return record
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise StoreError(f"{path} is not a record of a served version", "Remove it: that version is then forgotten.")

    def write(self, path: Path) -> None:
        files.write_json(path, asdict(self))

    def contradicts(self, now: "Record") -> bool:
        """Whether the version differs from this record. Older records have fewer fields."""
        return replace(self, provenance="") != replace(now, provenance="") or self.provenance not in (
            "",
            now.provenance,
        )


def withdrawn(history: Iterable[Record]) -> dict[str, int]:
    """{identity: version} of the models that were rolled back, and not restored since."""
    rolled_back, identities = dict[str, int](), dict[int, str]()
    for record in history:
        identities[record.version] = record.identity
        if record.identity in rolled_back:
            del rolled_back[record.identity]  # restored: the version that it replaces was not at fault
        elif record.instead_of in identities:
            rolled_back[identities[record.instead_of]] = record.instead_of
    return rolled_back


def best(history: Iterable[Record], test: str, held: Collection[str]) -> Record | None:
    """The most accurate model ever served; the newest if several are equal.

    Accuracies compare only on the same test images: versions measured on `test` come first, then those whose model is
    still `held` and can be measured again. A version that was rolled back does not count.
    """
    every = list(history)
    records = [record for record in every if record.identity not in withdrawn(every)]
    among = [r for r in records if r.test == test] or [r for r in records if r.identity in held] or records
    return max(among, key=lambda record: (record.accuracy, record.version), default=None)
