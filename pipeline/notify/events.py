"""The events of a run: its outcome, drift, and quarantined spans."""

import contextlib
from collections.abc import Iterator
from typing import Any

from pipeline.lineage import Lineage
from pipeline.lineage.states import RunState
from pipeline.notify.settings import Event
from pipeline.store.recorded import Kinds, RecordedArtifacts
from schemas.artifacts import Admission, Evaluation, Pushed, Verdict
from schemas.errors import StoreError


def events_of(lineage: Lineage, number: int, kinds: Kinds) -> Iterator[dict[str, Any]]:
    """The events of a run, as JSON values. A candidate that is refused or waits repeatedly is one event.

    `kinds`: the type of artifact that each stage makes.
    """
    run, executions = lineage.recorded(number), lineage.executions(number)
    artifacts = RecordedArtifacts([row for row in executions if row["digest"]], kinds)
    last = next((row["digest"] for row in reversed(executions)), None)
    prefix = f"{run['profile']}, run {number}"
    run_facts = {name: run[name] for name in ("run", "profile", "state", "exit_code", "message", "started", "finished")}
    run_id = f"{number} {run['started']}"

    def event(name: Event, id_: str, text: str, **more: Any) -> dict[str, Any]:
        return {"event": name, "id": f"{name} {id_}", "text": f"{prefix}: {text}", **run_facts, **more}

    if run["state"] == RunState.PUSHED:
        yield event("pushed", run_id, **_pushed(artifacts))
    elif run["state"] in (RunState.REFUSED, RunState.WAITING):
        yield event(run["state"], last or run_id, run["message"] or run["state"])
    elif run["state"] in (RunState.FAILED, RunState.KILLED):
        yield event("failed", run_id, f"{run['state']}: {run['message'] or 'it ended without an error message'}")
    if (verdict := artifacts.last(Verdict)) and (drift := _drift(verdict)):
        yield event("drift", verdict.digest, f"drift: {'; '.join(drift)}", drift=drift)
    if admission := artifacts.last(Admission):
        for span, reason in admission.drifted.items():
            yield event("drift", span, f"drift: {reason}", drift=[reason], span=span)
        for span, reason in admission.quarantined.items():
            yield event("quarantined", span, f"{span} is quarantined: {reason}", span=span)


def _pushed(artifacts: RecordedArtifacts) -> dict[str, Any]:
    pushed, evaluation = artifacts.last(Pushed), artifacts.last(Evaluation)
    if pushed is None:  # recorded by another version of gateline
        return {"text": "a new version is served"}
    values = {"version": pushed.version, "path": str(pushed.path)}
    if evaluation is None:
        return {"text": f"version {pushed.version} is served", **values}
    text = f"version {pushed.version} is served, accuracy {evaluation.accuracy:.4f}"
    return {"text": text, **values, "accuracy": evaluation.accuracy}


def _drift(verdict: Verdict) -> list[str]:
    """Sentences on drift from the served model's training data. Empty if the artifact is damaged or deleted."""
    with contextlib.suppress(StoreError):
        return [anomaly.message for anomaly in verdict.anomalies() if anomaly.is_drift]
    return []
