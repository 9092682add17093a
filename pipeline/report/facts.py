"""What the report of a run shows, and the sentences about the run itself.

facts.verdict                       # "Pushed as version 3: every gate passed."
facts.metrics["candidate"]["overall"]["accuracy"]
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.config import section
from pipeline.dag import stage_of
from pipeline.lineage.states import RunState
from pipeline.report import messages
from pipeline.report.gates import passed_summary
from pipeline.report.spans import SpanRow
from schemas.artifacts import (
    Anomaly,
    Comparison,
    GalleryEntry,
    GateResult,
    Model,
    NearCopy,
    Statistics,
)
from schemas.contract import slice_title
from schemas.settings.train import Train

if TYPE_CHECKING:
    import numpy as np

MAX_MISTAKES = 32  # in the gallery
Json = dict[str, Any]


@dataclass(frozen=True)
class SplitFacts:
    """What was counted of one split."""

    labels: dict[str, int]
    copies: int  # images that are also elsewhere in the split
    leaked: dict[str, int]  # images that are also in another split, by its name
    size: str  # of the images, or the range of sizes
    formats: dict[str, int]
    photos: Json = dataclasses.field(default_factory=dict)  # see `schemas.photos.rows`


@dataclass(frozen=True)
class Facts:
    """The contents of a report. Fields of stages that the run did not reach are empty."""

    run: Json
    stages: list[Json]
    gates: list[GateResult]
    metrics: Json  # by model: "candidate" and, if they exist, "baseline" and "best"
    comparisons: Sequence[Comparison]
    gallery: dict[str, list[GalleryEntry]]  # test images by reason
    history: list[dict[str, float]]
    anomalies: list[Anomaly]
    validated: bool
    source: str  # dataset and version, without spans
    unreadable: list[tuple[str, str]]  # (file, reason) of each image that was set aside, of spans too
    counts: dict[str, int]  # records by split
    splits: dict[str, SplitFacts]
    near_copies: int  # pairs of near copies, within and across splits
    near_pictured: list[tuple[NearCopy, NearCopy]]  # those that have pictures
    spans: list[SpanRow]
    serving: Json
    pushed: Json
    served: int | None  # the version that the candidate was compared with
    names: tuple[str, ...]  # of the labels, in order; empty if the contract states none
    unused: tuple[int, ...]  # classes that the contract declares unused
    versions: dict[str, str]  # of the libraries that the stages import
    missing: list[str]  # stages whose artifacts were deleted from the store or replaced
    damaged: dict[str, list[str]]  # by stage: files that cannot be read
    problems: dict[str, str]  # by field: why it is empty, if its file is missing or damaged
    images: "np.ndarray | None" = None  # of the gallery: uint8 [n, height, width, channels]
    near_images: "np.ndarray | None" = None  # two for each pair of near copies that has pictures

    @property
    def verdict(self) -> str:
        """The outcome of the run and its reason, in one sentence."""
        version, passed = self.pushed.get("version", "?"), passed_summary(self.gates, self.comparisons)
        if self.run["state"] == RunState.PUSHED:
            return f"Pushed as version {version}: {passed}."
        if self.run["state"] == RunState.UNCHANGED:
            more = "; " + passed if ";" in passed else ""
            return f"Nothing changed: version {version} already holds this model{more}."
        cause = messages.cause(self.run["message"]).rstrip(".")
        return f"{self.run['state'].capitalize()}{': ' + cause if cause else ''}."

    @property
    def remedy(self) -> str:
        """The remedy in the run's message. Empty if it has none."""
        return messages.remedy(self.run["message"])

    @property
    def passed(self) -> bool:
        return RunState(self.run["state"]).succeeded

    @property
    def candidate(self) -> Json | None:
        metrics: Json | None = self.metrics.get("candidate")
        return metrics

    @property
    def fresh(self) -> str:
        """The span that the fresh images are from."""
        return next((row.span for row in self.spans if row.fresh), "")

    def absent(self, field: str, default: str) -> str:
        """Why a field is empty: its file is missing or damaged, else `default`."""
        return self.problems.get(field, default)

    @property
    def no_counts(self) -> str:
        """Why there are no counts of records."""
        return f"The run did not reach the {stage_of(Statistics)} stage."

    @property
    def no_history(self) -> str:
        """Why there is no history of training."""
        return self.absent("history", f"The run did not reach the {stage_of(Model)} stage.")

    @property
    def no_metrics(self) -> str:
        """Why there are no metrics."""
        return self.absent("metrics", "The run did not reach the evaluation.")

    def named(self, label: int) -> str:
        """The name of a label, or its number if it has no name."""
        return self.names[label] if label < len(self.names) else str(label)

    def title(self, slice_: str) -> str:
        """The title of a slice, with the names of its labels."""
        return slice_title(slice_, self.names)

    @property
    def seed(self) -> int | None:
        """The seed of training."""
        seed: int | None = (self.run["config"] or {}).get(section(Train), {}).get("seed")
        return seed

    @property
    def damaged_files(self) -> list[str]:
        """The files that cannot be read, with their stages."""
        return [f"{name} of {stage}" for stage, names in self.damaged.items() for name in names]

    @property
    def label_errors(self) -> list[GalleryEntry]:
        """Mistakes that are likely label errors, because of the model's confidence."""
        return [entry for entry in self.gallery["mistakes"] if entry.is_likely_label_error]

    @property
    def label_errors_counted(self) -> str:
        """The number of likely label errors, with "or more" if the gallery is full."""
        return f"{len(self.label_errors)}{' or more' if len(self.gallery['mistakes']) >= MAX_MISTAKES else ''}"

    def as_json(self) -> Json:
        excluded = ("images", "near_images", "problems", "validated", "served")
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name not in excluded}
        return {"verdict": self.verdict, **values, **self._rows(), "label_errors": len(self.label_errors)}

    def _rows(self) -> Json:
        """The fields that are not JSON values, as rows."""
        return {
            "gates": [gate.as_row() for gate in self.gates],
            "comparisons": [comparison.as_row() for comparison in self.comparisons],
            "gallery": {reason: [entry.as_row() for entry in entries] for reason, entries in self.gallery.items()},
            "anomalies": [anomaly.as_row() for anomaly in self.anomalies],
            "near_pictured": [[dataclasses.asdict(image) for image in pair] for pair in self.near_pictured],
            "splits": {name: dataclasses.asdict(split) for name, split in self.splits.items()},
            "spans": [dataclasses.asdict(row) for row in self.spans],
        }
