"""The artifacts of a run by type, with the facts that the lineage recorded.

recorded = RecordedArtifacts(lineage.executions(7), {"push": Pushed, ...})
recorded.last(Pushed)     # Pushed(version=3, ...), or None if the run made none; its files may be deleted
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipeline.store.store import from_facts
from schemas.artifacts import Artifact

A = TypeVar("A", bound=Artifact)
Json = dict[str, Any]
Kinds = Mapping[str, type[Artifact]]  # the type of artifact that each stage makes


class RecordedArtifacts:
    """The artifacts of one run, by type or subtype. Stages are in the order in which they ran."""

    def __init__(self, executions: Iterable[Json], kinds: Kinds) -> None:
        self.executions = {row["stage"]: row for row in executions}
        self.kinds = kinds

    def first(self, kind: type[A]) -> A | None:
        """The first artifact of this type: of `Examples`, those without spans."""
        return next((artifact for _, artifact in self._of(kind)), None)

    def last(self, kind: type[A]) -> A | None:
        """The last artifact of this type: of `Examples`, those that the model was trained on."""
        return next((artifact for _, artifact in reversed(self._of(kind))), None)

    def row(self, kind: type[Artifact], *, first: bool = False) -> Json | None:
        """The lineage row of the last artifact of this type, or of the first. None if the run made none."""
        rows = [row for row, _ in self._of(kind)]
        return rows[0 if first else -1] if rows else None

    def _of(self, kind: type[A]) -> list[tuple[Json, A]]:
        made = ((row, artifact_of(row, self.kinds)) for row in self.executions.values())
        return [(row, artifact) for row, artifact in made if isinstance(artifact, kind)]


def artifact_of(row: Json, kinds: Kinds) -> Artifact | None:
    """The artifact of a lineage row, with its recorded facts. None if another version of gateline recorded others."""
    if not row["facts"]:
        return None
    try:
        artifact = from_facts(kinds.get(row["stage"], Artifact), Path(row["path"] or ""), row["facts"])
    except ValueError:
        return None
    return dataclasses.replace(artifact, digest=row["digest"] or "")
