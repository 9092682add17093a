"""Gathers what the report of a run shows, from the lineage and the artifacts in the store.

facts = gather(store, lineage.run(7), lineage.executions(7))
"""

from typing import TYPE_CHECKING, Any

from pipeline.report import spans
from pipeline.report.comparisons import with_served
from pipeline.report.facts import Facts, SplitFacts
from pipeline.runs.artifacts import StoredArtifacts
from pipeline.runs.contract import labels_of
from pipeline.store import Store
from pipeline.store import facts as facts_of
from schemas import photos, statistics
from schemas.artifacts import (
    Admission,
    Collected,
    DamagedFile,
    Evaluation,
    Examples,
    Model,
    Pushed,
    ServingCheck,
    Statistics,
    Verdict,
)
from schemas.artifacts.data import STATISTICS
from schemas.confusion import Confusion

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

Json = dict[str, Any]
ROW = {"count": 0, "accuracy": None, "interval": None, "loss": None, "brier": None, "ece": None}
GALLERY = ("mistakes", "lost", "gained", "samples")


def gather(store: Store, run: Json, executions: list[Json]) -> Facts:
    """The facts of a run and its executions. Fields of deleted or damaged artifacts are empty; `problems` says why."""
    artifacts = StoredArtifacts(store, executions)
    labels = labels_of(artifacts)
    evaluation, examples = artifacts.last(Evaluation), artifacts.first(Examples)
    described, pushed = artifacts.last(Statistics), artifacts.last(Pushed)
    metrics = artifacts.read(Evaluation, Evaluation.metrics) or {}
    comparisons = artifacts.read(Evaluation, Evaluation.comparisons) or ()
    served = with_served(comparisons)
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
        spans=spans.rows(artifacts, artifacts.read(Admission, Admission.decisions) or []),
        serving=artifacts.read(ServingCheck, ServingCheck.measurements) or {},
        pushed=facts_of(pushed) if pushed else {},
        served=served.version if served else evaluation.baseline if evaluation else None,
        names=labels.names,
        unused=labels.unused,
        versions=_versions(artifacts),
        images=artifacts.read(Evaluation, Evaluation.gallery_images),
        missing=artifacts.missing,
        damaged=artifacts.damaged,
        problems=artifacts.problems,
    )


def _versions(artifacts: StoredArtifacts) -> dict[str, str]:
    keys = [manifest.get("recipe", {}) for manifest in artifacts.manifests]
    return dict(sorted(version for key in keys for version in key.get("versions", {}).items()))


def _set_aside(artifacts: StoredArtifacts) -> list[tuple[str, str]]:
    of_source = artifacts.read(Examples, Examples.set_aside, first=True) or []
    return of_source + (artifacts.read(Collected, Collected.set_aside) or [])


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


def _splits(described: Statistics) -> dict[str, SplitFacts]:
    try:
        return {name: _split(split) for name, split in described.by_split().items()}
    except KeyError as error:  # every version of gateline writes these features
        raise DamagedFile(described.path, STATISTICS, error) from None


def _split(split: "pb.DatasetFeatureStatistics") -> SplitFacts:
    return SplitFacts(
        labels=statistics.values(split, "label"),
        copies=int(statistics.custom(split, "duplicates")),
        leaked=statistics.leaked(split),
        size=" × ".join(statistics.value_range(split, f"image/{side}") for side in ("height", "width")),
        formats=statistics.values(split, "image/format"),
        photos=photos.rows(split),
    )
