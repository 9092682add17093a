"""The commands, thin: each reads its options, calls what does the work, and shows what came of it.

Exit codes: 0 done, 1 unexpected error, 2 configuration or usage, 3 model refused by a gate, 4 data refused, 5 locked.
"""

import atexit
import contextlib
import json
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.errors import ConfigurationError, GatelineError

app = typer.Typer(
    help="gateline: data goes in at one end; at the other a model stands in a serving directory, if it passed every gate.",
    epilog="Exit codes: 0 done, 1 unexpected error, 2 configuration or usage, 3 model refused, 4 data refused, 5 locked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
schema_app = typer.Typer(help="Data contracts.", no_args_is_help=True)
app.add_typer(schema_app, name="schema")

Root = Annotated[Path, typer.Option("--root", envvar="GATELINE_ROOT", help="Where artifacts and lineage are kept.")]
ServingDir = Annotated[
    Path | None,
    typer.Option(
        "--serving-dir", envvar="GATELINE_SERVING_DIR", help="Where models are pushed. [default: ROOT/serving]", show_default=False
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database", envvar="GATELINE_DATABASE", help="SQLAlchemy URL of the lineage. [default: SQLite in ROOT]", show_default=False
    ),
]
Profile = Annotated[str, typer.Option("--profile", "-p", help="A shipped profile: cnn, mnist, sample, seed_adam, seed_sgd.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="A configuration file of your own, instead of a profile.", show_default=False)
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Override a setting: train.epochs=3. May be given several times.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs to read.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show all logs, and a traceback on failure.")]
RunNumber = Annotated[int | None, typer.Argument(min=1, max=2**31, help="The run's number. [default: the last]", show_default=False)]

DEFAULT_ROOT = Path("gateline")


@app.command()
def run(
    profile: Profile = "sample",
    config: ConfigFile = None,
    sets: Sets = None,
    root: Root = DEFAULT_ROOT,
    serving_dir: ServingDir = None,
    database: Database = None,
    runner: Annotated[str, typer.Option(help="A Beam runner. DirectRunner runs in this process.")] = "DirectRunner",
    beam_arg: Annotated[list[str] | None, typer.Option(help="Passed on to Beam: --beam-arg=--name=value.", show_default=False)] = None,
    from_stage: Annotated[str | None, typer.Option("--from", help="Run this stage and all behind it anew.", show_default=False)] = None,
    force: Annotated[list[str] | None, typer.Option(help="Run just this stage anew.", show_default=False)] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every stage anew.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, what would be reused, and why.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait while another run holds the lock, instead of exiting with 5.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Run the line: ingest, describe, validate, transform, tune, train, evaluate, check serving, push."""
    from pipeline.config import load
    from pipeline.plan import Again
    from pipeline.report import terminal
    from pipeline.runner import checked
    from pipeline.session import Session

    loaded = load(profile=None if config else profile, file=config, sets=sets)
    session = Session(
        root=root,
        serving_dir=serving_dir or root / "serving",
        database=database,
        again=Again(frozenset(force or ()), from_stage, no_cache),
        beam_on=checked(runner, beam_arg or []),
        wait=wait,
        verbose=verbose,
    )
    if dry_run:
        terminal.plan(session.plan(loaded), as_json=as_json)
        return
    outcome = session.run(loaded, name=str(config) if config else profile, command=_command())
    if as_json:
        print(json.dumps(outcome.as_json(), indent=2))
    else:
        terminal.outcome(outcome, "" if root == DEFAULT_ROOT else f" --root {shlex.quote(str(root))}")


@app.command()
def runs(
    root: Root = DEFAULT_ROOT,
    database: Database = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List runs, the newest first."""
    from pipeline.report import terminal

    rows = _lineage(root, database).runs(limit)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        terminal.runs(rows)


@app.command()
def show(
    number: RunNumber = None, root: Root = DEFAULT_ROOT, database: Database = None, as_json: Json = False, verbose: Verbose = False
) -> None:
    """Show a run: its stages, what was reused and why, and what came of it."""
    from pipeline.report import terminal

    lineage = _lineage(root, database)
    found = _found(lineage, number, root)
    executions = lineage.executions(found["run"])
    if as_json:
        print(json.dumps({**found, "stages": executions}, indent=2))
    else:
        terminal.show(found, executions)


@app.command()
def report(
    number: RunNumber = None, root: Root = DEFAULT_ROOT, database: Database = None, as_json: Json = False, verbose: Verbose = False
) -> None:
    """Write a run's report: one self-contained HTML file, and a summary in the terminal."""
    from pipeline.report import html, terminal
    from pipeline.report.facts import gather

    lineage = _lineage(root, database)
    found = _found(lineage, number, root)
    gathered = gather(found, lineage.executions(found["run"]))
    path = html.write(gathered, root / "reports" / f"run-{found['run']}.html")
    if as_json:
        print(json.dumps({"html": str(path), **gathered.as_json()}, indent=2))
    else:
        terminal.report(gathered, path)


@app.command()
def settings(as_json: Json = False, verbose: Verbose = False) -> None:
    """List every setting of a configuration: what it is, what is allowed, and its default."""
    from pipeline.config import describe
    from pipeline.report import terminal

    rows = describe()
    if as_json:
        print(json.dumps([dict(zip(("key", "type", "default", "meaning"), row, strict=True)) for row in rows], indent=2))
    else:
        terminal.settings(rows)


@schema_app.command()
def infer(
    profile: Profile = "sample",
    config: ConfigFile = None,
    sets: Sets = None,
    root: Root = DEFAULT_ROOT,
    out: Annotated[Path | None, typer.Option(help="Where to write it. [default: <data set>.draft.pbtxt]", show_default=False)] = None,
    verbose: Verbose = False,
) -> None:
    """Draft a data contract from a data set's statistics, for a person to curate."""
    from pipeline import draft
    from pipeline.config import load

    source = load(profile=None if config else profile, file=config, sets=sets).source
    path = out or Path(f"{source.tfds.replace('/', '_').split(':')[0]}.draft.pbtxt")
    draft.write(source, root, path, verbose=verbose)
    print(f"{path} is a draft: read it, correct what chance put there, remove the word DRAFT, and name it in `schema:`.")


def _command() -> str:
    return shlex.join(["python", "-m", "pipeline", *sys.argv[1:]])


def _lineage(root: Path, database: str | None) -> Any:
    if not (root / "store.json").exists():
        raise ConfigurationError(f"there is no store at {root}", "Run the line first, or name the store with --root.")
    from pipeline.lineage import Lineage
    from pipeline.store import Store

    return Lineage.at(Store(root).root, database)  # a store of another format is refused there


def _found(lineage: Any, number: int | None, root: Path) -> dict[str, Any]:
    found: dict[str, Any] | None = lineage.run(number)
    if found is None:
        raise ConfigurationError(
            f"there is no run {'yet' if number is None else number} in {root}", "List them with python -m pipeline runs."
        )
    return found


def main() -> None:
    """Run a command; every failure becomes a line of cause, one of remedy, and an exit code."""
    verbose = any(argument in ("-v", "--verbose") for argument in sys.argv[1:])
    code = 0
    try:
        app(prog_name="gateline")
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0
    except GatelineError as error:
        code = _failed(str(error), error.exit_code, verbose)
    except BrokenPipeError:
        code = 141
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        first = f"{lines[0]} {lines[-1].strip()}" if lines[0].endswith(":") else lines[0]
        notes = "\n  ".join(["Run again with -v for the traceback.", *getattr(error, "__notes__", [])])
        code = _failed(f"error: {type(error).__name__}: {first}\n  {notes}", 1, verbose)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()  # TensorFlow's generated code in the temporary directory is removed here
    # Everything is written and closed. TensorFlow would take two seconds to take itself apart, and a stopped Beam leaves
    # threads that would be waited for.
    os._exit(code)


def _failed(text: str, code: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    print(text, file=sys.stderr)
    return code
