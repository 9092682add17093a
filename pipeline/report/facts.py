"""The contents of a run's report, gathered from the lineage and the artifacts in the store.

facts = gather(store, lineage.run(7), lineage.executions(7))
facts.verdict                       # "Pushed as version 3: every gate passed."
facts.metrics["candidate"]["overall"]["accuracy"]
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.lineage.states import RunState
from pipeline.report import spans
from pipeline.runs.artifacts import RunArtifacts
from pipeline.store import Store
from pipeline.store import facts as facts_of
from schemas import photos, statistics
from schemas.artifacts import (
    Admission,
    Collected,
    DamagedFile,
    Evaluation,
    Examples,
    GateResult,
    Model,
    Pushed,
    ServingCheck,
    Statistics,
    Verdict,
)
from schemas.artifacts.data import STATISTICS
from schemas.confusion import Confusion
from schemas.contract import slice_title

if TYPE_CHECKING:
    import numpy as np

ROW = {"count": 0, "accuracy": None, "interval": None, "loss": None, "brier": None, "ece": None}
MAX_MISTAKES = 32  # in the gallery
GALLERY = ("mistakes", "lost", "gained", "samples")
Json = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """A run in JSON values. Fields of stages that the run did not reach are empty."""

    run: Json
    stages: list[Json]
    gates: list[GateResult]
    metrics: Json  # by model: "candidate" and, if they exist, "baseline" and "best"
    comparisons: list[Json]
    gallery: dict[str, list[Json]]
    history: list[dict[str, float]]
    anomalies: list[Json]
    validated: bool
    source: str  # dataset and version, without spans
    unreadable: list[tuple[str, str]]  # (file, reason) of each image that was set aside, of spans too
    counts: dict[str, int]  # records by split
    splits: dict[str, Json]  # by split: counts of labels, of duplicates, of images in other splits too; of photos
    near_copies: int  # pairs of near copies, within and across splits
    near_pictured: list[list[Json]]  # those that have pictures
    spans: list[Json]  # rows of `spans.of`
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
        version, passed = self.pushed.get("version", "?"), passed_summary(self.gates)
        if self.run["state"] == RunState.PUSHED:
            return f"Pushed as version {version}: {passed}."
        if self.run["state"] == RunState.UNCHANGED:
            more = "; " + passed if ";" in passed else ""
            return f"Nothing changed: version {version} already holds this model{more}."
        cause = (self.run["message"] or "").split("\n")[0].split(": ", 1)[-1].rstrip(".")
        return f"{self.run['state'].capitalize()}{': ' + cause if cause else ''}."

    @property
    def remedy(self) -> str:
        """The remedy in the run's message. Empty if it has none."""
        *causes, last = (self.run["message"] or "").rstrip().split("\n")
        return last.strip() if causes and last.startswith("  ") and not last.startswith("   ") else ""

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
        return next((row["span"] for row in self.spans if row["fresh"]), "")

    def absent(self, field: str, default: str) -> str:
        """Why a field is empty: its file is missing or damaged, else `default`."""
        return self.problems.get(field, default)

    def named(self, label: int) -> str:
        """The name of a label, or its number if it has no name."""
        return self.names[label] if label < len(self.names) else str(label)

    def title(self, slice_: str) -> str:
        """The title of a slice, with the names of its labels."""
        return slice_title(slice_, self.names)

    @property
    def label_errors(self) -> list[Json]:
        """Mistakes that evaluate flagged as likely label errors, because of the model's confidence."""
        return [entry for entry in self.gallery["mistakes"] if suspect(entry)]

    @property
    def label_errors_counted(self) -> str:
        """The number of likely label errors, with "or more" if the gallery is full."""
        return f"{len(self.label_errors)}{' or more' if len(self.gallery['mistakes']) >= MAX_MISTAKES else ''}"

    def as_json(self) -> Json:
        excluded = ("images", "near_images", "problems", "validated", "served")
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name not in excluded}
        gates = [gate.as_row() for gate in self.gates]
        return {"verdict": self.verdict, **values, "gates": gates, "label_errors": len(self.label_errors)}


def gather(store: Store, run: Json, executions: list[Json]) -> Facts:
    """The facts of a run and its executions. Fields of deleted or damaged artifacts are empty; `problems` says why."""
    artifacts = RunArtifacts(store, executions)
    keys = [manifest.get("recipe", {}) for manifest in artifacts.manifests]
    evaluation, examples = artifacts.last(Evaluation), artifacts.first(Examples)
    described, pushed = artifacts.last(Statistics), artifacts.last(Pushed)
    metrics = artifacts.read(Evaluation, Evaluation.metrics) or {}
    comparisons = artifacts.read(Evaluation, Evaluation.comparisons) or []
    baseline = next((each for each in comparisons if each["with"] == "baseline"), {})
    return Facts(
        run=run,
        stages=executions,
        gates=list(artifacts.read(Evaluation, Evaluation.gates) or ()),
        metrics={model: _complete(rows) for model, rows in metrics.items()},
        comparisons=comparisons,
        gallery={name: [] for name in GALLERY} | (artifacts.read(Evaluation, Evaluation.gallery) or {}),
        history=artifacts.read(Model, Model.history) or [],
        anomalies=artifacts.read(Verdict, Verdict.anomalies) or [],
        validated=artifacts.last(Verdict) is not None,
        source=examples.source if examples else "",
        unreadable=_set_aside(artifacts),
        counts=described.counts if described else {},
        splits=artifacts.read(Statistics, _splits) or {},
        near_copies=len(artifacts.read(Statistics, Statistics.near_copies) or ()),
        near_pictured=artifacts.read(Statistics, Statistics.near_pictured) or [],
        near_images=artifacts.read(Statistics, Statistics.near_pictures),
        spans=spans.of(artifacts, artifacts.read(Admission, Admission.rows) or []),
        serving=artifacts.read(ServingCheck, ServingCheck.measurements) or {},
        pushed=facts_of(pushed) if pushed else {},
        served=baseline.get("version") or (evaluation.baseline if evaluation else None),
        names=artifacts.label_names,
        unused=artifacts.unused_labels,
        versions=dict(sorted(version for key in keys for version in key.get("versions", {}).items())),
        images=artifacts.read(Evaluation, Evaluation.gallery_images),
        missing=artifacts.missing,
        damaged=artifacts.damaged,
        problems=artifacts.problems,
    )


def _set_aside(artifacts: RunArtifacts) -> list[tuple[str, str]]:
    of_source = artifacts.read(Examples, Examples.set_aside, first=True) or []
    return of_source + (artifacts.read(Collected, Collected.set_aside) or [])


def passed_summary(gates: Sequence[GateResult]) -> str:
    """How a model passed its gates, as part of a sentence: gates that could not decide, and tolerated verdicts."""
    few = sum(gate.verdict == "too few examples" for gate in gates)
    parts = [f"{few} could not be judged (too few test images)"] if few else []
    verdicts = {"worse": "worse than", "undecided": "undecided against"}
    paired = next((gate.measured.split(",")[0] for gate in gates if gate.gate == "paired" and gate.passed), "")
    if paired in verdicts:
        parts.append(f"{verdicts[paired]} the served model, which gates.paired allows")
    return "every gate passed" if gates and not parts else "; ".join(["no gate refused", *parts])


def suspect(entry: Json) -> bool:
    """Whether a mistake is a likely label error. Without a flag, in older stores: confidence above 95 %."""
    confident = bool(entry["top"]) and (entry["top"][0][1] or 0) > 0.95
    return bool(entry.get("suspect", confident))


def _complete(model: Json) -> Json:
    """The metrics of one model with every key. Older stores have only classes and fewer metrics."""
    slices = model.get("slices") or {f"label={label}": row for label, row in model.get("classes", {}).items()}
    return {
        "overall": ROW | model["overall"],
        "slices": {name: ROW | row for name, row in slices.items()},
        "corruptions": {name: ROW | row for name, row in model.get("corruptions", {}).items()},
        "fresh": ROW | model["fresh"] if model.get("fresh") else None,
        "with_leaked": model.get("with_leaked"),
        "confusion": Confusion.of(model.get("confusion")).as_json(),
        "calibration": model.get("calibration", []),
    }


def _splits(described: Statistics) -> dict[str, Json]:
    try:
        return {
            name: {
                "labels": statistics.values(split, "label"),
                "copies": int(statistics.custom(split, "duplicates")),
                "leaked": statistics.leaked(split),
                "size": " × ".join(statistics.value_range(split, f"image/{side}") for side in ("height", "width")),
                "formats": statistics.values(split, "image/format"),
                "photos": photos.rows(split),
            }
            for name, split in described.by_split().items()
        }
    except KeyError as error:  # every version of gateline writes these features
        raise DamagedFile(described.path, STATISTICS, error) from None
