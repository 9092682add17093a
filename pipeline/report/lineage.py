"""The artifacts of a run, from the dataset to the served version."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.dag import outputs
from pipeline.store.recorded import artifact_of


@dataclass(frozen=True)
class Step:
    """The artifact that one stage made or reused."""

    stage: str
    summary: str  # empty if another version of gateline made it
    digest: str
    path: str  # the last parts of it


def steps(executions: Iterable[dict[str, Any]]) -> Iterator[Step]:
    """A step for each execution that made or reused an artifact."""
    for row in executions:
        if row["digest"]:
            artifact = artifact_of(row, outputs())
            path = "/".join(Path(row["path"] or "").parts[-3:])
            yield Step(row["stage"], artifact.summary if artifact else "", row["digest"], path)
