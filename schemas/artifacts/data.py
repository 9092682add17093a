"""Artifacts of ingest, describe, mix and validate."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from schemas import statistics
from schemas.artifacts.base import SPLITS, TRAIN, UNREADABLE, Artifact, DamagedFile, Gate, Sharded
from schemas.errors import DataError, GatelineError
from schemas.settings.base import Severity

if TYPE_CHECKING:
    import numpy as np
    from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

STATISTICS, ANOMALIES = "stats.tfrecord", "anomalies.json"
NEAR, NEAR_PICTURED, NEAR_PICTURES = "near.json", "near-pictured.json", "near-pictures.npy"


@dataclass(frozen=True)
class SourceData(Artifact):
    """The state of the dataset: its version and the files prepared on disk. `path` need not exist yet."""

    version: str  # as the configuration or the builder states it; "" if only the library knows it
    files: int  # prepared files; 0 before the first run
    contents: str  # digest of the names and contents of the prepared files

    def cache_identity(self) -> dict[str, str]:
        return {"version": self.version, "files": str(self.files), "contents": self.contents}


@dataclass(frozen=True)
class Examples(Sharded):
    """Raw labelled images, as `schemas.example` records.

    Files: the shards, and `unreadable.json`, the images that were set aside, with the reasons.
    """

    source: str  # dataset and version, e.g. "mnist:3.0.1"
    test: str = ""  # digest of the test split alone
    unreadable: int = 0  # number of images that were set aside
    metadata: tuple[str, ...] = ()  # columns of a table that are stored in the records

    @property
    def summary(self) -> str:
        return f"{self.source}, {self.unreadable:,} images set aside" if self.unreadable else self.source

    def set_aside(self) -> list[tuple[str, str]]:
        """(file, reason) of each image that could not be read."""
        return [(file, reason) for file, reason in self.read_json(UNREADABLE, list)] if self.unreadable else []


@dataclass(frozen=True)
class Statistics(Artifact):
    """Statistics of every split.

    Files: `stats.tfrecord`, one `DatasetFeatureStatisticsList` with a dataset per split; `leaked.json`, positions
    (`source/index`) of test images that are also in another split; `near.json`, pairs of near copies, and
    `near-pictured.json` and `near-pictures.npy`, pictures of some; `parts/`, the statistics of each shard.
    """

    counts: dict[str, int]  # records in each split

    @property
    def summary(self) -> str:
        return _counts(self.counts)

    def by_split(self) -> "dict[str, pb.DatasetFeatureStatistics]":
        """Statistics by split, in the order of the splits.

        Raises:
            DamagedFile: the file is missing or cut short.
        """
        from google.protobuf.message import DecodeError

        try:
            return statistics.read(self.path / STATISTICS)
        except (OSError, ValueError, DecodeError) as error:
            raise DamagedFile(self.path, STATISTICS, error) from None

    def leaked(self, split: str = "test") -> frozenset[int]:
        """Positions (`source/index`) of the images of `split`, "test" or "fresh", that are also in another split."""
        return frozenset(self.read_json(_leaked(split), list))

    @staticmethod
    def write_leaked(out: Path, split: str, positions: Iterable[int]) -> None:
        (out / _leaked(split)).write_text(json.dumps(sorted(positions)), encoding="utf-8")

    def near_copies(self) -> list[tuple[str, int, str, int]]:
        """(split, position, other split, position) of images that are near copies: re-encoded, resized or mirrored."""
        if not (self.path / NEAR).exists():
            return []
        return [(one, i, other, j) for one, i, other, j in self.read_json(NEAR, list)]

    @staticmethod
    def write_near_copies(out: Path, pairs: list[tuple[str, int, str, int]]) -> None:
        (out / NEAR).write_text(json.dumps(pairs), encoding="utf-8")

    def near_pictured(self) -> list[tuple["NearCopy", "NearCopy"]]:
        """The pairs of near copies that have pictures.

        Raises:
            DamagedFile: the file is damaged or missing; there is none without near copies, and in older artifacts.
        """
        return self.read_rows(NEAR_PICTURED, lambda pair: (NearCopy(**pair[0]), NearCopy(**pair[1])))

    def near_pictures(self) -> "np.ndarray":
        """Their pictures, two for each pair: uint8 [2 * pairs, side, side, 3].

        Raises:
            DamagedFile: the same.
        """
        return self.read_array(NEAR_PICTURES)

    @staticmethod
    def write_near_pictures(out: Path, pairs: list[tuple["NearCopy", "NearCopy"]], pictures: "np.ndarray") -> None:
        import numpy as np

        rows = [[asdict(image) for image in pair] for pair in pairs]
        (out / NEAR_PICTURED).write_text(json.dumps(rows), encoding="utf-8")
        np.save(out / NEAR_PICTURES, pictures)


@dataclass(frozen=True)
class NearCopy:
    """One image of a pair of near copies."""

    split: str
    index: int  # its position in the split
    label: int
    height: int
    width: int


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in in_order(counts).items())


def in_order(splits: dict[str, Any]) -> dict[str, Any]:
    """The same, in the order of the line: train, validation, test, fresh, and others after them."""
    known = [name for name in SPLITS if name in splits]
    return {name: splits[name] for name in (*known, *(name for name in splits if name not in known))}


def _leaked(split: str) -> str:
    return "leaked.json" if split == "test" else f"leaked-{split}.json"


@dataclass(frozen=True)
class Mixture(Examples, Statistics):
    """The base dataset and the spans in the window: records as ingest writes them, statistics as describe writes them.

    A shard with weight 2 is listed twice. Split `fresh`: a share of the newest span, beside the fixed test split.
    """

    spans: tuple[str, ...] = ()  # spans that are trained on
    fresh: str = ""  # the span that the split `fresh` is taken from

    @property
    def summary(self) -> str:
        return _counts(self.counts)


@dataclass(frozen=True)
class Anomaly:
    """A value of the data that its contract does not expect. A row of `anomalies.json`."""

    split: str
    feature: str
    kind: str  # a name of AnomalyInfo.Type
    message: str  # the value, and the expected value
    severity: Severity = "error"

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Anomaly":
        return cls(row["split"], row.get("feature", ""), row.get("kind", ""), row["words"], row["severity"])

    def as_row(self) -> dict[str, str]:
        """As JSON values, with the keys of version 0.1."""
        return {
            "split": self.split,
            "feature": self.feature,
            "kind": self.kind,
            "words": self.message,
            "severity": self.severity,
        }

    @property
    def is_drift(self) -> bool:
        """Whether the training data drifted from that of the served model."""
        return self.split == TRAIN and self.kind.startswith("COMPARATOR_")


@dataclass(frozen=True)
class Verdict(Gate):
    """Whether the data fits its contract. Files: `anomalies.pbtxt` (an `Anomalies` proto), `anomalies.json`."""

    refusal: ClassVar[type[GatelineError]] = DataError

    warnings: tuple[str, ...] = ()  # one sentence for each anomaly that is only a warning
    labels: tuple[str, ...] | None = None  # names of the labels, in order; (): they have none; None: before 0.2
    unused: tuple[int, ...] = ()  # classes that the contract declares unused

    def anomalies(self) -> list[Anomaly]:
        """The anomalies, in the order of the splits."""
        return self.read_rows(ANOMALIES, Anomaly.of)

    @staticmethod
    def write_anomalies(out: Path, anomalies: Iterable[Anomaly]) -> None:
        rows = [anomaly.as_row() for anomaly in anomalies]
        (out / ANOMALIES).write_text(json.dumps(rows, indent=2), encoding="utf-8")
