"""Everything that a report says about a run, gathered from the lineage and from the artifacts that still stand."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Facts:
    """A run in JSON values. What its stages did not come to is empty."""

    run: dict[str, Any]
    stages: list[dict[str, Any]]
    gates: list[dict[str, Any]]
    metrics: dict[str, Any]  # by model: "candidate" and, where there was one, "baseline"
    history: list[dict[str, float]]
    anomalies: list[dict[str, Any]]
    counts: dict[str, int]
    serving: dict[str, Any]
    pushed: dict[str, Any]
    curves: str  # SVG
    missing: list[str]  # stages whose artifacts are gone from the store, or were made anew since

    @property
    def verdict(self) -> str:
        """What came of the run, in one sentence."""
        if self.run["state"] == "pushed":
            return f"Pushed as version {self.pushed.get('version', '?')}: every gate passed."
        if self.run["state"] == "unchanged":
            return f"Nothing changed: version {self.pushed.get('version', '?')} already holds this model."
        first = (self.run["message"] or "").split("\n")[0]
        return f"{self.run['state'].capitalize()}{': ' + first.split(': ', 1)[-1] if first else '.'}"

    @property
    def judged(self) -> list[dict[str, str]]:
        """The gates in words, a row each: gate, slice, required, came, margin, verdict."""
        return [rows(gate) for gate in self.gates]

    @property
    def passed(self) -> bool:
        return self.run["state"] in ("pushed", "unchanged", "drafted")

    def as_json(self) -> dict[str, Any]:
        names = ("run", "stages", "gates", "metrics", "history", "anomalies", "counts", "serving", "pushed", "missing")
        return {"verdict": self.verdict} | {name: getattr(self, name) for name in names}


def rows(gate: dict[str, Any]) -> dict[str, str]:
    """One gate as a reader sees it."""
    upper = gate["gate"] == "drop"
    came, bound = gate["came"], gate["bound"]
    return {
        "gate": gate["gate"],
        "slice": gate["slice"],
        "required": f"{'≤' if upper else '≥'} {bound:.4f}",
        "came": "none" if came is None else f"{came:.4f}",
        "margin": "" if came is None else f"{bound - came if upper else came - bound:+.4f}",
        "verdict": "passed" if gate["passed"] else "refused",
    }


def _stands(stage: dict[str, Any]) -> bool:
    """Whether the artifact that a run left is still there, and still the same one."""
    path = Path(stage["path"])
    if stage["stage"] == "push":
        return path.exists()
    try:
        return bool(json.loads((path / "manifest.json").read_text())["digest"] == stage["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def gather(run: dict[str, Any], stages: list[dict[str, Any]]) -> Facts:
    """The facts of a run and its executions."""
    paths = {s["stage"]: Path(s["path"]) for s in stages if s["path"] and _stands(s)}
    facts = {s["stage"]: s["facts"] or {} for s in stages}

    def load(stage: str, name: str, default: Any) -> Any:
        path = paths.get(stage, Path()) / name
        return json.loads(path.read_text()) if stage in paths and path.is_file() else default

    curves = paths.get("train", Path()) / "curves.svg"
    return Facts(
        run=run,
        stages=stages,
        gates=load("evaluate", "gates.json", []),
        metrics=load("evaluate", "metrics.json", {}),
        history=load("train", "history.json", []),
        anomalies=load("validate", "anomalies.json", []),
        counts=facts.get("describe", {}).get("counts", {}),
        serving=load("check_serving", "serving.json", {}),
        pushed=facts.get("push", {}),
        curves=curves.read_text() if "train" in paths and curves.is_file() else "",
        missing=[s["stage"] for s in stages if s["path"] and s["stage"] not in paths],
    )
