"""Artifacts of the stages that read spans."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from schemas.artifacts.base import UNREADABLE, Artifact, Gate, Split
from schemas.errors import DataError, GatelineError

SPANS = "spans.json"


@dataclass(frozen=True)
class Arrivals(Artifact):
    """The directory of spans, and those that are complete, in the order of their names."""

    spans: dict[str, str]  # identifies the content of each span
    dates: dict[str, str]  # date of each span, in ISO format


@dataclass(frozen=True)
class Span:
    """Images delivered together: records in splits train, validation and fresh, or why they are unreadable."""

    date: str
    splits: dict[str, Split] = field(default_factory=dict)
    broken: str = ""
    unreadable: int = 0  # images that were set aside

    @property
    def count(self) -> int:
        return sum(split.count for split in self.splits.values())


@dataclass(frozen=True)
class Collected(Artifact):
    """Every complete span.

    Files: `<span>/<split>-<i>-of-<n>.tfrecord`; `<span>/parts/`, the statistics of each shard; and
    `<span>/unreadable.json`, the images that were set aside, with the reasons.
    """

    spans: dict[str, Span]  # date, shards, unreadable images of each span, or why it cannot be read

    @property
    def summary(self) -> str:
        images = sum(span.count for span in self.spans.values())
        return f"{len(self.spans):,} span{'s'[: len(self.spans) != 1]}, {images:,} images"

    def set_aside(self) -> list[tuple[str, str]]:
        """(file, reason) of each image that could not be read; files by their path below the directory of spans."""
        names = [name for name, span in self.spans.items() if span.unreadable]
        listed = [(name, self.read_json(f"{name}/{UNREADABLE}", list)) for name in names]
        return [(f"{name}/{file}", reason) for name, images in listed for file, reason in images]

    def parts(self, span: str, *splits: str) -> dict[Path, tuple[Path, int]]:
        """The statistics of a span's shards that have records, each with its shard and the number of its records."""
        folder, every = self.path / span, self.spans[span].splits
        chosen = [every[name] for name in splits or every]
        shards = [each for split in chosen for each in zip(split.shards, split.counts, strict=True)]
        return {folder / "parts" / Path(shard).stem: (folder / shard, count) for shard, count in shards if count}


@dataclass(frozen=True)
class Measure:
    """The distance between two sets of images."""

    value: float
    limit: float
    words: str
    over: bool  # whether it is over its limit, beyond what sampling error explains


@dataclass(frozen=True)
class SpanDecision:
    """The checks of one span. A row of `spans.json`."""

    span: str
    date: str
    images: int
    errors: list[str] = field(default_factory=list)  # one sentence for each reason of a quarantine
    warnings: list[str] = field(default_factory=list)
    drift: str = ""  # a sentence, if it has drifted
    measures: dict[str, Measure] = field(default_factory=dict)  # distances from the training data

    @classmethod
    def of(cls, row: dict[str, Any]) -> "SpanDecision":
        measures = {name: Measure(**measure) for name, measure in row["measures"].items()}
        return cls(**{field.name: row[field.name] for field in fields(cls)} | {"measures": measures})


@dataclass(frozen=True)
class Admission(Gate):
    """The decision on each span. Files: `spans.json`, a row for each: anomalies, distance from the training data."""

    refusal: ClassVar[type[GatelineError]] = DataError

    admitted: tuple[str, ...]  # names of the spans that may be trained on
    quarantined: dict[str, str]  # the reason, by span
    drifted: dict[str, str]  # the measure that is over its limit, by span

    @property
    def summary(self) -> str:
        counts = {"admitted": len(self.admitted), "quarantined": len(self.quarantined)}
        counted = [f"{count:,} {name}" for name, count in counts.items() if count]
        return "; ".join([super().summary] * bool(super().summary) + counted)

    def decisions(self) -> list[SpanDecision]:
        """The decision on each span, in the order of the spans."""
        return self.read_rows(SPANS, SpanDecision.of)

    @staticmethod
    def write_decisions(out: Path, decisions: Iterable[SpanDecision]) -> None:
        rows = [asdict(decision) for decision in decisions]
        (out / SPANS).write_text(json.dumps(rows, indent=1), encoding="utf-8")
