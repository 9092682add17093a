"""Artifacts of ingest, describe, mix and validate."""

from dataclasses import dataclass
from typing import ClassVar

from schemas.artifacts.base import Artifact, Gate, Sharded
from schemas.errors import DataError, GatelineError


@dataclass(frozen=True)
class SourceData(Artifact):
    """What the dataset is now: the stated version, and what is prepared on disk. `path` need not exist yet."""

    version: str  # stated in the configuration or by the builder; "" if only the library knows it
    files: int  # prepared files; 0 before the first run
    contents: str  # digest of their names and contents

    def cache_identity(self) -> dict[str, str]:
        return {"version": self.version, "files": str(self.files), "contents": self.contents}


@dataclass(frozen=True)
class Examples(Sharded):
    """Raw labelled images, as `schemas.example` records."""

    source: str  # data set and version, e.g. "mnist:3.0.1"
    test: str = ""  # digest of the test split alone


@dataclass(frozen=True)
class Statistics(Artifact):
    """Statistics of every split.

    Files: `stats.tfrecord`, one `DatasetFeatureStatisticsList` with a data set per split; `leaked.json`, positions (`source/index`)
    of test images that also stand in another split; `parts/`, the same of each shard, to be merged with others.
    """

    counts: dict[str, int]  # records in each split


@dataclass(frozen=True)
class Mixture(Examples, Statistics):
    """The base data set and the spans in the window: records as those of ingest, and statistics as those of describe.

    A shard whose images count twice is named twice. Split `fresh`: a share of the newest span, beside the fixed test split.
    """

    spans: tuple[str, ...] = ()  # those learnt from
    fresh: str = ""  # the span that `fresh` is of


@dataclass(frozen=True)
class Verdict(Gate):
    """The data against its contract. Files: `anomalies.pbtxt` (an `Anomalies` proto), `anomalies.json`."""

    refusal: ClassVar[type[GatelineError]] = DataError

    warnings: tuple[str, ...] = ()
