"""Prints runs, plans, outcomes and reports in the terminal."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pipeline.dag import outputs
from pipeline.lineage.states import RunState
from pipeline.report import shortened, spans, views
from pipeline.report.states import RUNS
from pipeline.report.times import local, took
from pipeline.store.recorded import Recorded
from schemas.artifacts import (
    Evaluation,
    Examples,
    GateResult,
    Hyperparameters,
    ServingCheck,
    Statistics,
)
from schemas.text import printable

if TYPE_CHECKING:
    from pipeline.engine.plan import Step
    from pipeline.report.facts import Facts
    from pipeline.report.index import Index
    from pipeline.runs.session import Outcome
    from schemas.judgeable import Unjudgeable
    from schemas.settings.reference import Setting


def new_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


class _Console(Console):
    """Removes control characters from texts, so that a name cannot control the terminal."""

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def echo(*renderables: Any) -> None:
    """Prints to the terminal."""
    # A pipe has no width, and wrapping would split paths.
    console = _Console(highlight=False)
    if not console.is_terminal:
        console = _Console(highlight=False, width=200)
    for each in renderables:
        console.print(each, soft_wrap=isinstance(each, Text | str), markup=False)


def plan(steps: "list[Step]", unjudgeable: "list[Unjudgeable] | None" = None, *, as_json: bool) -> None:
    """Prints a plan. `unjudgeable`: the gates that the test split has too few images for; None if that is unknown."""
    if as_json:
        rows = [{"stage": s.name, "action": s.action, "why": s.why} for s in steps]
        warnings = {"warnings": [str(each) for each in unjudgeable]} if unjudgeable else {}
        print(json.dumps([row | warnings if row["stage"] == "evaluate" else row for row in rows], indent=2))
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
        first = (row["message"] or "").split("\n")[0]
        table.add_row(
            str(row["run"]), row["profile"], local(row["started"]), took(row), _state(row["state"]), Text(first, "dim")
        )
    echo(table if rows else "no runs yet")


def show(run: dict[str, Any], executions: list[dict[str, Any]]) -> None:
    echo(
        Text.assemble(
            (f"run {run['run']}  ", "bold"),
            f"{run['profile']}  {local(run['started'])}  {took(run)}  ",
            _state(run["state"]),
        )
    )
    echo(Text(run["command"], "dim"))
    table = new_table("stage", "state", "seconds", "why", "artifact", right=("seconds",))
    for e in executions:
        table.add_row(e["stage"], e["state"], f"{e['seconds']:.2f}", Text(e["why"]), Text(e["path"] or "", "dim"))
    echo(table)
    artifacts = Recorded(executions, outputs())
    if data := trained_on(artifacts):
        echo(Text(f"data: {data}"))
    if tuned := artifacts.last(Hyperparameters):
        echo(f"hyperparameters: {tuned.origin}")
    if (check := artifacts.last(ServingCheck)) and check.load_seconds:
        more = f", p99 {check.p99_ms:.2f} ms, {check.memory_mb:,.0f} MB" if check.memory_mb else ""
        echo(f"serving check: loads in {check.load_seconds:.2f} s, answers in {check.latency_ms:.2f} ms{more}")
    if run["message"]:
        echo(Text(run["message"]))


def trained_on(artifacts: Recorded) -> str:
    """The data of a run: "mnist:3.0.1 and 2 of 3 spans: 56,000 train, ..."."""
    examples, described = artifacts.first(Examples), artifacts.last(Statistics)
    parts = [examples.source if examples else "", spans.trained_on(spans.of(artifacts, []))]
    return ": ".join(filter(None, [" and ".join(filter(None, parts)), described.summary if described else ""]))


def report(facts: "Facts", written: dict[str, Path]) -> None:
    """Prints a summary of the report, and the paths of its files."""
    echo(Text(facts.verdict, "bold green" if facts.passed else "bold red"))
    if facts.missing:
        echo(Text(f"deleted from the store or replaced: {', '.join(facts.missing)}", "yellow"))
    if facts.damaged:
        echo(Text(f"damaged: {', '.join(views.damaged(facts))}", "yellow"))
    if facts.gates:
        echo(*(Text(reason, "red") for reason in views.refusals(facts.gates) if reason not in facts.verdict))
        echo(gates(facts.gates))
    for comparison in views.comparisons(facts):
        echo(Text(comparison["sentence"]))
    if likely := len(facts.label_errors):
        echo(
            Text(
                f"{facts.label_errors_counted} test image{'s'[: likely != 1]} may be labelled wrongly: see the report",
                "yellow",
            )
        )
    if facts.spans:
        echo(Text(f"data: {facts.source} and {spans.trained_on(facts.spans)}"))
    for row in spans.shown(facts.spans):
        if remarks := spans.remarks(row):
            echo(Text(f"{row['span']} {row['fate']}: {'; '.join(remarks)}", "yellow"))
    if facts.unused:
        echo(Text(views.unused(facts)))
    if facts.unreadable:
        count = len(facts.unreadable)
        images = "1 image could not be read and was" if count == 1 else f"{count:,} images could not be read and were"
        echo(Text(f"{images} set aside: see the report", "yellow"))
    for anomaly in facts.anomalies:
        echo(Text(f"{anomaly['severity']}: {anomaly['words']}", "yellow"))
    echo(
        Text(f"card    {written['card']}", "dim"),
        Text(f"metrics {written['json']}", "dim"),
        Text(f"report  {written['html']}"),
    )


def index(index_: "Index", written: dict[str, Path]) -> None:
    """Prints the headline of the index, and the path of its page."""
    echo(Text(index_.headline), Text(f"report  {written['html']}"))


def settings(described: "list[Setting]") -> None:
    table = new_table("setting", "type", "range", "default", "meaning")
    for each in described:
        table.add_row(*map(Text, (each.title, each.type, each.range, each.default, each.meaning)))
    echo(table)


def _state(state: str) -> Text:
    known = state in RUNS  # a newer version of gateline may have recorded others
    return Text(state, RUNS[RunState(state)].style if known else "")
