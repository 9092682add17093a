"""Everything that a report says about a run, gathered from the lineage and from the artifacts that still stand.

facts = gather(lineage.run(7), lineage.executions(7))
facts.verdict                       # "Pushed as version 3: every gate passed."
facts.metrics["candidate"]["overall"]["accuracy"]
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas import statistics

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
    counts: dict[str, int]  # records by split
    splits: dict[str, dict[str, Any]]  # by split: how often each label occurs, copies, images that stand in other splits
    serving: dict[str, Any]
    pushed: dict[str, Any]
    versions: dict[str, str]  # of the libraries that the stages import
    missing: list[str]  # stages whose artifacts are gone from the store, or were made anew since
    images: Path | None = None  # gallery.npy

    @property
    def verdict(self) -> str:
        """What came of the run, and why, in one sentence."""
        if self.run["state"] == "pushed":
            return f"Pushed as version {self.pushed.get('version', '?')}: every gate passed."
        if self.run["state"] == "unchanged":
            return f"Nothing changed: version {self.pushed.get('version', '?')} already holds this model."
        first = (self.run["message"] or "").split("\n")[0].split(": ", 1)[-1].rstrip(".")
        return f"{self.run['state'].capitalize()}{': ' + first if first else ''}."

    @property
    def remedy(self) -> str:
        """The way out that the run's message names."""
        *causes, last = (self.run["message"] or "").rstrip().split("\n")
        return last.strip() if causes and last.startswith("  ") and not last.startswith("   ") else ""

    @property
    def passed(self) -> bool:
        return self.run["state"] in ("pushed", "unchanged", "drafted")

    @property
    def candidate(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.metrics.get("candidate")
        return found

    @property
    def label_errors(self) -> list[dict[str, Any]]:
        """Wrong answers of which the model is so sure that the label may be what is wrong (Northcutt et al. 2021)."""
        return [entry for entry in self.gallery["mistakes"] if entry["top"] and (entry["top"][0][1] or 0) > 0.95]

    @property
    def label_errors_counted(self) -> str:
        """How many; the gallery keeps 32 mistakes, so there may be more."""
        return f"{len(self.label_errors)}{' or more' if len(self.label_errors) >= SHOWN else ''}"

    def as_json(self) -> dict[str, Any]:
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "images"}
        return {"verdict": self.verdict, **found, "label_errors": len(self.label_errors)}


def gather(run: dict[str, Any], stages: list[dict[str, Any]]) -> Facts:
    """The facts of a run and its executions. A file that is absent or no longer readable leaves its part empty."""
    paths = {s["stage"]: Path(s["path"]) for s in stages if s["path"] and _stands(s)}
    facts = {s["stage"]: s["facts"] or {} for s in stages}

    def load(stage: str, name: str, default: Any) -> Any:
        try:
            return json.loads((paths[stage] / name).read_text())
        except (KeyError, OSError, ValueError):
            return default

    images = paths["evaluate"] / "gallery.npy" if "evaluate" in paths else None
    return Facts(
        run=run,
        stages=stages,
        gates=[gate_in_words(gate) for gate in load("evaluate", "gates.json", [])],
        metrics={name: _in_full(found) for name, found in load("evaluate", "metrics.json", {}).items()},
        comparisons=load("evaluate", "comparisons.json", []),
        gallery={name: [] for name in GALLERY} | load("evaluate", "gallery.json", {}),
        history=load("train", "history.json", []),
        anomalies=load("validate", "anomalies.json", []),
        counts=facts.get("describe", {}).get("counts", {}),
        splits=_splits(paths["describe"] / "stats.tfrecord") if "describe" in paths else {},
        serving=load("check_serving", "serving.json", {}),
        pushed=facts.get("push", {}),
        versions=dict(sorted(v for stage in paths for v in load(stage, "manifest.json", {}).get("recipe", {}).get("versions", {}).items())),
        missing=[s["stage"] for s in stages if s["path"] and s["stage"] not in paths],
        images=images if images and images.is_file() else None,
    )


def gate_in_words(gate: dict[str, Any]) -> dict[str, Any]:
    """A gate as evaluate leaves it. Older stores hold the bound and what came as numbers only."""
    if "required" in gate:
        return gate
    upper, came, bound = gate["gate"] == "drop", gate["came"], gate["bound"]
    return {
        "gate": gate["gate"],
        "slice": gate["slice"].replace("class ", "label="),
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
        "with_leaked": model.get("with_leaked"),
        "confusion": model.get("confusion", []),
        "calibration": model.get("calibration", []),
    }


def _splits(path: Path) -> dict[str, dict[str, Any]]:
    """Labels, copies and leaked images by split, read without TensorFlow: a TFRecord is a length, its check, and the record."""
    from google.protobuf.message import DecodeError

    try:
        content = path.read_bytes()
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
        return {}


def _stands(stage: dict[str, Any]) -> bool:
    """Whether the artifact that a run left is still there, and still the same one."""
    path = Path(stage["path"])
    if stage["stage"] == "push":
        return path.exists()
    try:
        return bool(json.loads((path / "manifest.json").read_text())["digest"] == stage["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
