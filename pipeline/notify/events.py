"""The events of a run: its outcome, drift, and quarantined spans."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.lineage import Lineage
from pipeline.lineage.states import RunState
from pipeline.notify.settings import Event
from schemas.artifacts import Verdict
from schemas.errors import StoreError


def happened(lineage: Lineage, number: int) -> Iterator[dict[str, Any]]:
    """The events of a run, as JSON values. A candidate that is refused again, or still waits, is the same event."""
    run = lineage.recorded(number)
    executions = lineage.executions(number)
    made = {e["stage"]: e for e in executions if e["digest"]}
    last = next((e["digest"] for e in reversed(executions)), None)
    who = f"{run['profile']}, run {number}"
    facts = {name: run[name] for name in ("run", "profile", "state", "exit_code", "message", "started", "finished")}
    this_run = f"{number} {run['started']}"

    def event(name: Event, id_: str, text: str, **more: Any) -> dict[str, Any]:
        return {"event": name, "id": f"{name} {id_}", "text": f"{who}: {text}", **facts, **more}

    if run["state"] == RunState.PUSHED:
        pushed, evaluated = made["push"], made.get("evaluate")
        version = {"version": pushed["facts"]["version"], "path": pushed["path"]}
        version |= {"accuracy": evaluated["facts"].get("accuracy")} if evaluated else {}
        words = f", accuracy {version['accuracy']:.4f}" if version.get("accuracy") else ""
        yield event("pushed", this_run, f"version {version['version']} is served{words}", **version)
    elif run["state"] in (RunState.REFUSED, RunState.WAITING):
        yield event(run["state"], last or this_run, run["message"] or run["state"])
    elif run["state"] in (RunState.FAILED, RunState.KILLED):
        yield event("failed", this_run, f"{run['state']}: {run['message'] or 'it ended without an error message'}")
    if "validate" in made and (drift := _drift(Path(made["validate"]["path"]))):
        yield event("drift", made["validate"]["digest"], f"drift: {'; '.join(drift)}", drift=drift)
    judged = made["admit"]["facts"] if "admit" in made else {"drifted": {}, "quarantined": {}}
    for span, words in judged["drifted"].items():
        yield event("drift", span, f"drift: {words}", drift=[words], span=span)
    for span, words in judged["quarantined"].items():
        yield event("quarantined", span, f"{span} is quarantined: {words}", span=span)


def _drift(verdict: Path) -> list[str]:
    """Sentences on the drift of train from the served model's train. Empty if the artifact is damaged or deleted."""
    try:
        anomalies = Verdict(verdict, passed=True).anomalies()
    except StoreError:
        return []
    return [a["words"] for a in anomalies if a["split"] == "train" and a["kind"].startswith("COMPARATOR_")]
