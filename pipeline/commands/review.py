"""The commands about recorded runs: `runs`, `show`, `report`, `compare`."""

import json
import os
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import options
from schemas.errors import ConfigurationError


def runs(
    root: options.Root = options.DEFAULT_ROOT,
    database: options.Database = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of rows.")] = 20,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """List runs, the newest first."""
    from pipeline.report import terminal
    from pipeline.runs.lookup import lineage_at

    rows = lineage_at(root, database).runs(limit)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        terminal.runs(rows)


def show(
    number: options.RunNumber = None,
    root: options.Root = options.DEFAULT_ROOT,
    database: options.Database = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Show a run: its outcome, its stages, and why each ran or was reused."""
    from pipeline.report import terminal
    from pipeline.runs.lookup import lineage_at, run_of

    lineage = lineage_at(root, database)
    run = run_of(lineage, number, root)
    executions = lineage.executions(run["run"])
    if as_json:
        print(json.dumps({**run, "stages": executions}, indent=2))
    else:
        terminal.show(run, executions)


def report(
    number: options.RunNumber = None,
    root: options.Root = options.DEFAULT_ROOT,
    database: options.Database = None,
    index: Annotated[
        bool, typer.Option("--index", help="Write the page of all runs instead of the report of one run.")
    ] = False,
    serving_dir: options.ServingDir = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to. [default: ROOT/reports]", show_default=False, callback=options.expanded),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Write a run's report: one HTML file, its metrics as JSON, a model card, and a summary in the terminal."""
    from pipeline.report import html, summary
    from pipeline.report import index as pages
    from pipeline.report.gather import gather
    from pipeline.runs.lookup import lineage_at, run_of
    from pipeline.store import Store

    lineage, folder = lineage_at(root, database), out or _reports(root)
    if index:
        if number is not None:
            raise ConfigurationError("--index covers all runs", f"Remove {number} or --index.")
        from pipeline.serving import default_dir

        every = pages.gather(Store(root), lineage, serving_dir or default_dir(root))
        written = pages.write(every, folder)
        content = every.as_json()
    else:
        run = run_of(lineage, number, root)
        gathered = gather(Store(root), run, lineage.executions(run["run"]))
        written = html.write(gathered, folder)
        content = gathered.as_json()
    if as_json:
        print(json.dumps({**{kind: str(path) for kind, path in written.items()}, **content}, indent=2))
    elif index:
        summary.index(every, written)
    else:
        summary.report(gathered, written)
    if open_:
        webbrowser.open(written["html"].absolute().as_uri())


def _reports(root: Path) -> Path:
    """ROOT/reports, or a temporary folder if the user may not write to ROOT."""
    folder = root / "reports"
    return folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix="gateline-report-"))


def compare(
    old: Annotated[
        int, typer.Argument(min=1, max=2**31, metavar="RUN", help="The run to compare with (old).", show_default=False)
    ],
    new: Annotated[
        int, typer.Argument(min=1, max=2**31, metavar="RUN", help="The run to compare (new).", show_default=False)
    ],
    root: options.Root = options.DEFAULT_ROOT,
    database: options.Database = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare two runs: settings, data and metrics, and which model is better on the same images."""
    from pipeline.report import comparison_table
    from pipeline.report.compare import compare as compare_runs
    from pipeline.runs.lookup import lineage_at, run_of
    from pipeline.store import Store

    lineage = lineage_at(root, database)
    compared = compare_runs(Store(root), lineage, *(run_of(lineage, number, root) for number in (old, new)))
    if as_json:
        print(json.dumps(compared.as_json(), indent=2))
    else:
        comparison_table.show(compared)
    if compared.refusal:
        raise compared.refusal
