"""Comparison of two runs: differences of settings, data and metrics, and a paired test of the two models on the same
test images.

comparison = compare(Store(root), lineage, lineage.run(3), lineage.run(7))
comparison.paired.verdict     # "better"
comparison.overall            # [Change("accuracy", 0.971, 0.974), ...]
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.lineage import Lineage
from pipeline.report import spans
from pipeline.report.paired_runs import Evaluated, paired_test
from pipeline.runs.artifacts import StoredArtifacts
from pipeline.runs.contract import contract_of, labels_of
from pipeline.store import Store
from schemas.artifacts import Admission, Evaluation, Examples, Mixture, PairedTest, Statistics
from schemas.errors import ConfigurationError

Json = dict[str, Any]
METRICS = ("accuracy", "loss", "brier", "ece")
OF_RUN = ("run", "profile", "state", "started")


@dataclass(frozen=True)
class Change:
    """A value in two runs; None where a run has no value."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True)
class SliceChange(Change):
    """The accuracy on a slice in two runs."""

    difference: float | None = None  # new minus old; None if an interval is unknown
    interval: tuple[float, float] | None = None  # of the difference

    @property
    def beyond_noise(self) -> bool:
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True)
class RunComparison:
    """Two runs; `old` is the one named first."""

    runs: tuple[Json, Json]  # run, profile, state, started
    configuration: list[Change]  # dotted keys; only differences
    data: list[Change]  # source, digests of contract and data, counts
    spans: list[Change]  # whether each was trained on; only differences, the newest first
    overall: list[Change]  # metrics
    slices: list[SliceChange]
    names: tuple[str, ...]  # of the labels, in order; empty if the contract states none
    paired: PairedTest | None  # of the new model against the old one
    refusal: ConfigurationError | None  # why there is no paired test
    damaged: list[str]  # files that cannot be read: "metrics.json of run 3"

    @property
    def sentence(self) -> str:
        """The result of the paired test. Empty if there is none."""
        return self.paired.message(f"run {self.runs[0]['run']}") if self.paired else ""

    def as_json(self) -> Json:
        named = {"configuration": "key", "data": "what", "spans": "span", "overall": "figure"}
        changes = {
            field: [{key: each.name, "old": each.old, "new": each.new} for each in getattr(self, field)]
            for field, key in named.items()
        }
        slices = [
            {
                "slice": each.name,
                "old": each.old,
                "new": each.new,
                "difference": each.difference,
                "interval": each.interval,
                "beyond_noise": each.beyond_noise,
            }
            for each in self.slices
        ]
        return {
            "runs": self.runs,
            **changes,
            "slices": slices,
            "names": self.names,
            "paired": self.paired.as_row() | {"words": self.sentence} if self.paired else None,
            "damaged": self.damaged,
            "unpaired": self.refusal.cause if self.refusal else None,
        }


def compare(store: Store, lineage: Lineage, old: Json, new: Json) -> RunComparison:
    """Compares two runs of one store.

    Raises:
        ConfigurationError: the runs are the same.
    """
    if old["run"] == new["run"]:
        raise ConfigurationError(
            f"run {old['run']} cannot be compared with itself", "Name two runs; python -m pipeline runs lists them."
        )
    sides = [Evaluated(run, StoredArtifacts(store, lineage.executions(run["run"]))) for run in (old, new)]
    artifacts = [side.artifacts for side in sides]
    metrics = [_metrics(each) for each in artifacts]
    paired, refusal = _paired(*sides)
    return RunComparison(
        runs=({key: old[key] for key in OF_RUN}, {key: new[key] for key in OF_RUN}),
        configuration=_differences(_changes(_dotted(old["config"]), _dotted(new["config"]))),
        data=_changes(*map(_data, artifacts)),
        spans=_differences(reversed(_changes(*map(_spans, artifacts)))),
        overall=_changes(*(each["overall"] for each in metrics)),
        slices=_slices(*(each["slices"] for each in metrics)),
        names=labels_of(artifacts[1]).names,
        paired=paired,
        refusal=refusal,
        damaged=[
            f"{file} of {side.name}" for side in sides for files in side.artifacts.damaged.values() for file in files
        ],
    )


def newcombe(old: Json, new: Json) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies, from their Wilson intervals (Newcombe 1998, method 10).

    It assumes independent test images. For the same test images the interval is too wide, never too narrow.
    """
    before, (low, high) = old["accuracy"], old["interval"]
    after, (new_low, new_high) = new["accuracy"], new["interval"]
    difference = after - before
    return difference - math.hypot(after - new_low, high - before), difference + math.hypot(
        new_high - after, before - low
    )


def _paired(old: Evaluated, new: Evaluated) -> tuple[PairedTest | None, ConfigurationError | None]:
    """The paired test, or why there is none."""
    try:
        return paired_test(old, new), None
    except ConfigurationError as error:
        return None, error


def _changes(old: Json, new: Json) -> list[Change]:
    return [Change(key, old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new])]


def _differences(changes: Iterable[Change]) -> list[Change]:
    return [each for each in changes if each.old != each.new]


def _slices(old: dict[str, Json], new: dict[str, Json]) -> list[SliceChange]:
    return [_slice(name, row, new[name]) for name, row in old.items() if name in new]


def _slice(name: str, old: Json, new: Json) -> SliceChange:
    before, after = old["accuracy"], new["accuracy"]
    if any(row["accuracy"] is None or None in (row.get("interval") or [None]) for row in (old, new)):
        return SliceChange(name, before, after)
    return SliceChange(name, before, after, after - before, newcombe(old, new))


def _metrics(artifacts: StoredArtifacts) -> Json:
    """The candidate's metrics. If the file cannot be read, accuracy and loss from the lineage."""
    metrics = (artifacts.read(Evaluation, Evaluation.metrics) or {}).get("candidate", {})
    recorded, mixture = artifacts.last(Evaluation), artifacts.last(Mixture)
    facts = {"accuracy": recorded.accuracy, "loss": recorded.loss} if recorded else {}
    overall = {name: value for name, value in (metrics.get("overall") or facts).items() if name in METRICS}
    if fresh := metrics.get("fresh"):
        overall[f"accuracy on {(mixture.fresh if mixture else '') or 'fresh images'}"] = fresh["accuracy"]
    return {"overall": overall, "slices": metrics.get("slices") or {}}


def _data(artifacts: StoredArtifacts) -> Json:
    base, mixture = artifacts.first(Examples), artifacts.last(Mixture)
    digests = {"examples": artifacts.last(Examples), "statistics": (described := artifacts.last(Statistics))}
    contract = contract_of(artifacts)
    return {
        "source": base.source if base else None,
        **({"spans trained on": len(mixture.spans)} if mixture else {}),
        **({"contract": hashlib.sha256(contract.text.encode()).hexdigest()[:12]} if contract else {}),
        **{name: artifact.digest[:12] if artifact else None for name, artifact in digests.items()},
        **({f"{split} images": count for split, count in described.counts.items()} if described else {}),
    }


def _spans(artifacts: StoredArtifacts) -> Json:
    decisions = artifacts.read(Admission, Admission.decisions) or []
    return {row.span: row.fate for row in spans.rows(artifacts, decisions)}


def _dotted(config: Json, prefix: str = "") -> Json:
    flat: Json = {}
    for key, value in config.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat
