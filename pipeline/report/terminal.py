"""Prints plans, runs and their outcomes in the terminal."""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from pipeline.dag import outputs, stage_of
from pipeline.lineage.states import RunState
from pipeline.report import messages, shortened, spans
from pipeline.report.console import echo, new_table
from pipeline.report.states import RUNS
from pipeline.report.times import local, took
from pipeline.store.recorded import RecordedArtifacts
from schemas.artifacts import (
    Evaluation,
    Examples,
    GateResult,
    Hyperparameters,
    ServingCheck,
    Statistics,
)

if TYPE_CHECKING:
    from pipeline.engine.plan import Step
    from pipeline.runs.outcome import Outcome
    from schemas.judgeable import Unjudgeable


def plan(steps: "list[Step]", unjudgeable: "list[Unjudgeable] | None" = None, *, as_json: bool) -> None:
    """Prints a plan. `unjudgeable`: the gates that the test split has too few images for; None if that is unknown."""
    if as_json:
        rows = [{"stage": s.name, "action": s.action, "why": s.why} for s in steps]
        warnings = {"warnings": [str(each) for each in unjudgeable]} if unjudgeable else {}
        evaluate = stage_of(Evaluation)
        print(json.dumps([row | warnings if row["stage"] == evaluate else row for row in rows], indent=2))
        return
    table = new_table("stage", "action", "why")
    colours = {"reuse": "cyan", "run": "green", "refused": "red"}
    for step in steps:
        table.add_row(step.name, Text(step.action, colours.get(step.action, "dim")), Text(step.why))
    echo(table)
    if unjudgeable is None:
        echo(Text("Whether there are enough test images for the gates is known once the data is described.", "dim"))
    for each in unjudgeable or ():
        echo(Text(f"warning: {each}", "yellow"))


def outcome(outcome_: "Outcome") -> None:
    """Prints the gates and the artifact of the last stage."""
    if evaluation := next((each for each in outcome_.artifacts.values() if isinstance(each, Evaluation)), None):
        echo(gates(evaluation.gates()))
    path = outcome_.last.path
    texts = {
        RunState.PUSHED: ((outcome_.state, "bold green"), f"  {path}"),
        RunState.UNCHANGED: (("nothing changed", "bold cyan"), f"  {path} already holds this model"),
        RunState.WAITING: ((outcome_.state, "bold yellow"), f"  {outcome_.approve}"),
        RunState.PARTIAL: ((outcome_.stage, "bold cyan"), f"  {path}"),
    }
    echo(Text.assemble(*texts[outcome_.state]))
    echo(Text(f"report  python -m pipeline report {outcome_.run}{outcome_.place}", "dim"))


def gates(results: Iterable[GateResult]) -> Table:
    table = new_table("gate", "on", "required", "measured", "margin", "", right=("required", "measured", "margin"))
    for gate in shortened.gates(results):
        if isinstance(gate, str):
            table.add_row("", Text(gate, "dim"))
            continue
        colour = "red" if not gate.passed else "green" if gate.verdict == "passed" else "yellow"
        cells = (gate.gate, gate.on, gate.required, gate.measured, gate.margin)
        table.add_row(*map(Text, cells), Text(gate.verdict, colour))
    return table


def runs(rows: list[dict[str, Any]]) -> None:
    table = new_table("run", "profile", "started", "took", "outcome", "", right=("run", "took"))
    for row in rows:
        first = messages.first_line(row["message"])
        table.add_row(
            str(row["run"]), row["profile"], local(row["started"]), took(row), _state(row["state"]), Text(first, "dim")
        )
    echo(table if rows else "no runs yet")


def show(run: dict[str, Any], executions: list[dict[str, Any]]) -> None:
    """Prints a run: its outcome, its stages, and the facts of its artifacts."""
    head = f"{run['profile']}  {local(run['started'])}  {took(run)}  "
    echo(Text.assemble((f"run {run['run']}  ", "bold"), head, _state(run["state"])))
    echo(Text(run["command"], "dim"))
    table = new_table("stage", "state", "seconds", "why", "artifact", right=("seconds",))
    for e in executions:
        table.add_row(e["stage"], e["state"], f"{e['seconds']:.2f}", Text(e["why"]), Text(e["path"] or "", "dim"))
    echo(table)
    echo(*map(Text, _facts(RecordedArtifacts(executions, outputs()))))
    if run["message"]:
        echo(Text(run["message"]))


def _facts(artifacts: RecordedArtifacts) -> Iterator[str]:
    """A line each for the data, the hyperparameters and the serving check."""
    if data := _trained_on(artifacts):
        yield f"data: {data}"
    if tuned := artifacts.last(Hyperparameters):
        yield f"hyperparameters: {tuned.origin}"
    if (check := artifacts.last(ServingCheck)) and check.load_seconds:
        more = f", p99 {check.p99_ms:.2f} ms, {check.memory_mb:,.0f} MB" if check.memory_mb else ""
        yield f"serving check: loads in {check.load_seconds:.2f} s, answers in {check.latency_ms:.2f} ms{more}"


def _trained_on(artifacts: RecordedArtifacts) -> str:
    """The data of a run: "mnist:3.0.1 and 2 of 3 spans: 56,000 train, ..."."""
    examples, described = artifacts.first(Examples), artifacts.last(Statistics)
    parts = [examples.source if examples else "", spans.trained_on(spans.rows(artifacts, []))]
    return ": ".join(filter(None, [" and ".join(filter(None, parts)), described.summary if described else ""]))


def _state(state: str) -> Text:
    known = state in RUNS  # a newer version of gateline may have recorded others
    return Text(state, RUNS[RunState(state)].style if known else "")
