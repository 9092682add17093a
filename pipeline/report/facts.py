"""Everything that a report says about a run, gathered from the lineage and from the artifacts that still stand.

facts = gather(store, lineage.run(7), lineage.executions(7))
facts.verdict                       # "Pushed as version 3: every gate passed."
facts.metrics["candidate"]["overall"]["accuracy"]
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.lineage.states import RunState
from pipeline.report import spans
from pipeline.report.artifacts import Remains
from pipeline.store import Store
from schemas import statistics
from schemas.contract import slice_title

ROW = {"count": 0, "accuracy": None, "interval": None, "loss": None, "brier": None, "ece": None}
SHOWN = 32  # mistakes that the gallery keeps
GALLERY = ("mistakes", "lost", "gained", "samples")


@dataclass(frozen=True)
class Facts:
    """A run in JSON values. What its stages did not come to is empty."""

    run: dict[str, Any]
    stages: list[dict[str, Any]]
    gates: list[dict[str, Any]]
    metrics: dict[str, Any]  # by model: "candidate" and, where there was one, "baseline" and "best"
    comparisons: list[dict[str, Any]]
    gallery: dict[str, list[dict[str, Any]]]
    history: list[dict[str, float]]
    anomalies: list[dict[str, Any]]
    source: str  # dataset and version, without spans
    counts: dict[str, int]  # records by split
    splits: dict[
        str, dict[str, Any]
    ]  # by split: how often each label occurs, copies, images that stand in other splits
    spans: list[dict[str, Any]]  # rows of `spans.of`
    serving: dict[str, Any]
    pushed: dict[str, Any]
    names: tuple[str, ...]  # what the labels are called, in their order; empty where the contract does not say
    versions: dict[str, str]  # of the libraries that the stages import
    missing: list[str]  # stages whose artifacts are gone from the store, or were made again since
    damaged: dict[str, list[str]]  # by stage: files that cannot be read
    images: Path | None = None  # gallery.npy

    @property
    def verdict(self) -> str:
        """What came of the run, and why, in one sentence."""
        version, said = self.pushed.get("version", "?"), how_passed(self.gates)
        if self.run["state"] == "pushed":
            return f"Pushed as version {version}: {said}."
        if self.run["state"] == "unchanged":
            return f"Nothing changed: version {version} already holds this model{'; ' + said if ';' in said else ''}."
        first = (self.run["message"] or "").split("\n")[0].split(": ", 1)[-1].rstrip(".")
        return f"{self.run['state'].capitalize()}{': ' + first if first else ''}."

    @property
    def remedy(self) -> str:
        """The way out that the run's message names."""
        *causes, last = (self.run["message"] or "").rstrip().split("\n")
        return last.strip() if causes and last.startswith("  ") and not last.startswith("   ") else ""

    @property
    def passed(self) -> bool:
        return RunState(self.run["state"]).succeeded

    @property
    def candidate(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.metrics.get("candidate")
        return found

    @property
    def fresh(self) -> str:
        """The span of which some images are tested on, beside the test split."""
        return next((row["span"] for row in self.spans if row["fresh"]), "")

    def named(self, label: int) -> str:
        """What a label is called; its number, where it has no name."""
        return self.names[label] if label < len(self.names) else str(label)

    def title(self, slice_: str) -> str:
        """A slice with the names of its labels."""
        return slice_title(slice_, self.names)

    @property
    def label_errors(self) -> list[dict[str, Any]]:
        """Wrong answers of which the model is so sure that the label may be what is wrong: evaluate flags them."""
        return [entry for entry in self.gallery["mistakes"] if suspect(entry)]

    @property
    def label_errors_counted(self) -> str:
        """How many; the gallery keeps 32 mistakes, so there may be more."""
        return f"{len(self.label_errors)}{' or more' if len(self.gallery['mistakes']) >= SHOWN else ''}"

    def as_json(self) -> dict[str, Any]:
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "images"}
        return {"verdict": self.verdict, **found, "label_errors": len(self.label_errors)}


def gather(store: Store, run: dict[str, Any], stages: list[dict[str, Any]]) -> Facts:
    """The facts of a run and its executions. Deleted or damaged artifacts leave their part empty, and are named."""
    remains = Remains(store, stages)
    load = remains.json
    facts = {s["stage"]: s["facts"] or {} for s in stages}
    recipes = [(remains.manifest(s["stage"]) or {}).get("recipe", {}) for s in stages]
    return Facts(
        run=run,
        stages=stages,
        gates=[gate_in_words(gate) for gate in load("evaluate", "gates.json", [])],
        metrics={name: _in_full(found) for name, found in load("evaluate", "metrics.json", {}).items()},
        comparisons=load("evaluate", "comparisons.json", []),
        gallery={name: [] for name in GALLERY} | load("evaluate", "gallery.json", {}),
        history=load("train", "history.json", []),
        anomalies=load("validate", "anomalies.json", []),
        source=facts.get("ingest", {}).get("source", ""),
        counts=facts.get(remains.described, {}).get("counts", {}),
        splits=_splits(remains),
        spans=spans.of(facts, load("admit", "spans.json", [])),
        serving=load("check_serving", "serving.json", {}),
        pushed=facts.get("push", {}),
        names=remains.names,
        versions=dict(sorted(version for recipe in recipes for version in recipe.get("versions", {}).items())),
        images=remains.whole("evaluate", "gallery.npy"),
        missing=remains.missing,
        damaged=remains.damaged,
    )


def how_passed(gates: list[dict[str, Any]]) -> str:
    """How a model passed its gates, as part of a sentence: what could not be judged, and what was allowed to pass."""
    few = sum(gate["verdict"] == "too few examples" for gate in gates)
    said = [f"{few} could not be judged (too few test images)"] if few else []
    verdicts = {"worse": "worse than", "undecided": "undecided against"}
    beside = next((gate["came"].split(",")[0] for gate in gates if gate["gate"] == "paired" and gate["passed"]), "")
    if beside in verdicts:
        said.append(f"{verdicts[beside]} the served model, which gates.paired lets pass")
    return "every gate passed" if gates and not said else "; ".join(["no gate refused", *said])


def suspect(entry: dict[str, Any]) -> bool:
    """Whether a wrong answer is a likely label error. Older stores have no flag: there, confidence above 95 %."""
    sure = bool(entry["top"]) and (entry["top"][0][1] or 0) > 0.95
    return bool(entry.get("suspect", sure))


def gate_in_words(gate: dict[str, Any]) -> dict[str, Any]:
    """A gate as evaluate leaves it. Older stores hold the bound and what came as numbers only."""
    if "required" in gate:
        return {"on": gate["slice"]} | gate
    upper, came, bound = gate["gate"] == "drop", gate["came"], gate["bound"]
    return {
        "gate": gate["gate"],
        "slice": (slice_ := gate["slice"].replace("class ", "label=")),
        "on": slice_,
        "required": f"{'≤' if upper else '≥'} {bound:.4f}",
        "came": "none" if came is None else f"{came:.4f}",
        "margin": "" if came is None else f"{bound - came if upper else came - bound:+.4f}",
        "verdict": "passed" if gate["passed"] else "refused",
        "passed": gate["passed"],
        "bound": bound,
        "value": came,
        "words": gate["words"],
    }


def _in_full(model: dict[str, Any]) -> dict[str, Any]:
    """The metrics of one model, every figure in its place. Older stores know classes only, and fewer figures."""
    slices = model.get("slices") or {f"label={label}": row for label, row in model.get("classes", {}).items()}
    return {
        "overall": ROW | model["overall"],
        "slices": {name: ROW | row for name, row in slices.items()},
        "corruptions": {name: ROW | row for name, row in model.get("corruptions", {}).items()},
        "fresh": ROW | model["fresh"] if model.get("fresh") else None,
        "with_leaked": model.get("with_leaked"),
        "confusion": model.get("confusion", []),
        "calibration": model.get("calibration", []),
    }


def _splits(remains: Remains) -> dict[str, dict[str, Any]]:
    """Labels, copies and leaked images by split, read without TensorFlow."""
    from google.protobuf.message import DecodeError

    path = remains.whole(remains.described, "stats.tfrecord")
    try:
        content = path.read_bytes() if path else b""
        record = content[12 : 12 + int.from_bytes(content[:8], "little")]
        datasets = statistics.pb.DatasetFeatureStatisticsList.FromString(record).datasets
        return {
            each.name: {
                "labels": statistics.values(each, "label"),
                "copies": int(statistics.custom(each, "duplicates")),
                "leaked": statistics.leaked(each),
            }
            for each in datasets
        }
    except (OSError, DecodeError, KeyError):
        remains.harmed(remains.described, "stats.tfrecord")
        return {}
