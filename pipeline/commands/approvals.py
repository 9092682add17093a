"""The commands `approvals`, `approve` and `reject`: manual approval of models that passed every gate."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands import options

if TYPE_CHECKING:
    from pipeline.runs.approvals import ApprovalRequest

Run = Annotated[
    int,
    typer.Argument(min=1, max=2**31, metavar="RUN", help="The run whose model waits for approval.", show_default=False),
]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Name of the person who decides.", show_default=False)]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="The reason, which is recorded.", show_default=False)
]


def approvals(
    root: options.Root = options.DEFAULT_ROOT,
    database: options.Database = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of rows.")] = 20,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """List models that wait for approval, and recent decisions."""
    from rich.text import Text

    from pipeline.report import console
    from pipeline.report.times import local
    from pipeline.runs.approvals import Approvals
    from pipeline.runs.lookup import lineage_at

    requests = Approvals(lineage_at(root, database), root).requests(limit)
    if as_json:
        print(json.dumps([each.as_json() for each in requests], indent=2))
        return
    table = console.new_table("run", "model", "evaluated", "", "by", "reason", right=("run",))
    for each in requests:
        cells = (str(each.run), each.directory.name, local(each.evaluated))
        table.add_row(*cells, Text(*_state(each)), Text(each.person or ""), Text(each.reason or ""))
    console.echo(table if requests else "no model waits for approval, and there are no decisions yet")


def _state(request: "ApprovalRequest") -> tuple[str, str]:
    from pipeline.runs.approvals import APPROVED

    if request.decision:
        return request.decision, "green" if request.decision == APPROVED else "red"
    return (f"superseded: {request.superseded}", "dim") if request.superseded else ("waits", "yellow")


def approve(
    number: Run,
    by: By,
    reason: Reason,
    root: options.Root = options.DEFAULT_ROOT,
    database: options.Database = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Approve a waiting model and push it. The decision is final."""
    from pipeline.report import terminal
    from pipeline.runs import decisions

    outcome = decisions.approve(
        number, by=by, reason=reason, root=root, database=database, command=options.typed(), verbose=verbose
    )
    if as_json:
        print(json.dumps(outcome.as_json(), indent=2))
    else:
        terminal.outcome(outcome)


def reject(
    number: Run,
    by: By,
    reason: Reason,
    root: options.Root = options.DEFAULT_ROOT,
    database: options.Database = None,
    verbose: options.Verbose = False,
) -> None:
    """Reject a waiting model. The decision is final."""
    from pipeline.runs import decisions

    decisions.reject(number, by=by, reason=reason, root=root, database=database)
    print(f"the model of run {number} was rejected by {by}; it will not be pushed")
