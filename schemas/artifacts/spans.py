"""Artifacts of the stages that read spans."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from schemas.artifacts.base import Artifact, Gate, Split
from schemas.errors import DataError, GatelineError


@dataclass(frozen=True)
class Arrivals(Artifact):
    """The directory of spans, and those that are complete, in the order of their names."""

    spans: dict[str, str]  # what tells each from the same span altered
    dates: dict[str, str]  # ISO


@dataclass(frozen=True)
class Span:
    """New images that came together: records in splits train, validation and fresh, or the reason why they cannot be read."""

    date: str
    splits: dict[str, Split] = field(default_factory=dict)
    broken: str = ""

    @property
    def count(self) -> int:
        return sum(split.count for split in self.splits.values())


@dataclass(frozen=True)
class Collected(Artifact):
    """Every span that is complete. Files: `<span>/<split>-<i>-of-<n>.tfrecord` and `<span>/parts/`, statistics of each shard."""

    spans: dict[str, Span]

    def parts(self, span: str, *splits: str) -> list[Path]:
        """The statistics of a span's shards that have records."""
        found = self.spans[span].splits
        shards = [
            (shard, n) for s in splits or found for shard, n in zip(found[s].shards, found[s].counts, strict=True)
        ]
        return [self.path / span / "parts" / Path(shard).stem for shard, count in shards if count]


@dataclass(frozen=True)
class Admission(Gate):
    """Each span judged on its own. Files: `spans.json`, a row for each: what was found, and how far it lies from what was learnt."""

    refusal: ClassVar[type[GatelineError]] = DataError

    admitted: tuple[str, ...]
    quarantined: dict[str, str]  # the reason
    drifted: dict[str, str]  # the measure that is over its limit, in words
