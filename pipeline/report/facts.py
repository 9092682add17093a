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
    missing: list[str]  # artifacts that are no longer in the store

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
    def passed(self) -> bool:
        return self.run["state"] in ("pushed", "unchanged", "drafted")

    def as_json(self) -> dict[str, Any]:
        names = ("run", "stages", "gates", "metrics", "history", "anomalies", "counts", "serving", "pushed", "missing")
        return {"verdict": self.verdict} | {name: getattr(self, name) for name in names}


def gather(run: dict[str, Any], stages: list[dict[str, Any]]) -> Facts:
    """The facts of a run and its executions."""
    paths = {s["stage"]: Path(s["path"]) for s in stages if s["path"]}
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
        missing=[stage for stage, path in paths.items() if not path.exists()],
    )
