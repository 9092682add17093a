"""The commands `approvals`, `approve` and `reject`: manual approval of models that passed every gate."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.commands.options import DEFAULT_ROOT, Database, Json, Root, Verbose, lineage_at, run_of, typed

Run = Annotated[
    int,
    typer.Argument(min=1, max=2**31, metavar="RUN", help="The run whose model waits for approval.", show_default=False),
]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Name of the person who decides.", show_default=False)]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="The reason, which is recorded.", show_default=False)
]


def approvals(
    root: Root = DEFAULT_ROOT,
    database: Database = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of rows.")] = 20,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List models that wait for approval, and recent decisions."""
    from rich.text import Text

    from pipeline.report import terminal
    from pipeline.report.times import local
    from pipeline.runs.approvals import Approvals, superseded_reason

    lineage = lineage_at(root, database)
    rows = [
        row | {"overtaken": "" if row["decision"] else superseded_reason(row)}
        for row in Approvals(lineage, root).rows(limit)
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = terminal.new_table("run", "model", "evaluated", "", "by", "reason", right=("run",))
    for row in rows:
        state, colour = _state(row)
        cells = (str(row["run"]), Path(row["shelf"]).name, local(row["evaluated"]))
        table.add_row(*cells, Text(state, colour), Text(row["person"] or ""), Text(row["reason"] or ""))
    terminal.echo(table if rows else "no model waits for approval, and there are no decisions yet")


def _state(row: dict[str, Any]) -> tuple[str, str]:
    if row["decision"]:
        return row["decision"], "green" if row["decision"] == "approved" else "red"
    return ("waits", "yellow") if not row["overtaken"] else (f"superseded: {row['overtaken']}", "dim")


def approve(
    number: Run,
    by: By,
    reason: Reason,
    root: Root = DEFAULT_ROOT,
    database: Database = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Approve a waiting model and push it. The decision is final."""
    from pipeline.config import Config
    from pipeline.engine.pinned import by_run
    from pipeline.report import terminal
    from pipeline.runs.approvals import Approvals, check
    from pipeline.runs.session import Session

    lineage = lineage_at(root, database)
    approvals, run = Approvals(lineage, root), run_of(lineage, number, root)
    row, config = approvals.row(number), Config.model_validate_json(json.dumps(run["config"]))
    check(row, run, config, by, reason)
    session = Session(
        root=root,
        serving_dir=Path(row["shelf"]).parent,
        database=database,
        only="push",
        hold=by_run(number),
        wait=True,
        verbose=verbose,
    )
    session.plan(config)  # approval is final, so first check that the model can be pushed
    approvals.decide(number, approved=True, by=by, reason=reason)
    outcome = session.run(config, name=run["profile"], command=typed())
    if as_json:
        print(json.dumps(outcome.as_json(), indent=2))
    else:
        terminal.outcome(outcome)


def reject(
    number: Run,
    by: By,
    reason: Reason,
    root: Root = DEFAULT_ROOT,
    database: Database = None,
    verbose: Verbose = False,
) -> None:
    """Reject a waiting model. The decision is final."""
    from pipeline.config import Config
    from pipeline.runs.approvals import Approvals, check

    lineage = lineage_at(root, database)
    approvals, run = Approvals(lineage, root), run_of(lineage, number, root)
    check(approvals.row(number), run, Config.model_validate_json(json.dumps(run["config"])), by, reason)
    approvals.decide(number, approved=False, by=by, reason=reason)
    print(f"the model of run {number} was rejected by {by}; it will not be pushed")
