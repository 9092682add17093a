"""The command line: the commands and their exit codes.

Exit codes: 0 done, 1 unexpected error, 2 configuration or usage, 3 model refused by a gate, 4 data refused, 5 locked,
75 the network, a disk or another service failed, 130 interrupted.
"""

import atexit
import contextlib
import gc
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import approvals, configure, review, run, schedule, serving, store
from pipeline.commands.tune import tune
from pipeline.runs import signals
from pipeline.runs.signals import interrupted
from schemas.errors import EnvironmentFailure, GatelineError, Interrupted, is_transient
from schemas.process import open_standard_streams
from schemas.text import printable

app = typer.Typer(
    help="gateline: labelled images in, a served model out, if it passes every gate.",
    epilog="Exit codes: 0 done, 1 unexpected error, 2 configuration or usage, 3 model refused, 4 data refused, "
    "5 locked, 75 network, disk or service failed, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"gateline {version('gateline')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """gateline: labelled images in, a served model out, if it passes every gate."""


for command in (
    run.run,
    tune,
    review.runs,
    review.show,
    review.report,
    review.compare,
    configure.init,
    configure.settings,
    configure.stages,
):
    app.command()(command)
schema = typer.Typer(help="Data contracts.", no_args_is_help=True)
schema.command()(configure.infer)
app.add_typer(schema, name="schema")
kept = typer.Typer(help="The store: verify it, and delete unreachable artifacts.", no_args_is_help=True)
kept.command()(store.verify)
kept.command()(store.gc)
app.add_typer(kept, name="store")
app.command()(approvals.approvals)
app.command()(approvals.approve)
app.command()(approvals.reject)
app.add_typer(serving.app, name="serving")
app.add_typer(schedule.app, name="schedule")


def main() -> None:
    """Runs a command. Every failure becomes a line of cause, one of remedy, and an exit code."""
    open_standard_streams()
    verbose = any(argument in ("-v", "--verbose") for argument in sys.argv[1:])
    try:
        code = _command(verbose)
        signals.ignore()
    except BaseException as error:  # a signal in between, or while another error was reported
        signals.ignore()
        code = _unforeseen(error, verbose)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()  # TensorFlow's generated code in the temporary directory is removed here
    # Everything is written and closed. Shutting TensorFlow down takes two seconds, and a stopped Beam leaves threads
    # that Python would wait for.
    os._exit(code)


def _command(verbose: bool) -> int:
    signals.heed()
    with contextlib.suppress(FileNotFoundError):  # modules of source.module and source.custom may be there
        sys.path.append(str(Path.cwd()))  # the last: a module there must not hide one of ours
    gc.set_threshold(50_000, 20, 20)  # imports create many permanent objects, which are not worth scanning repeatedly
    try:
        app(prog_name="gateline")
    except SystemExit as exit_:
        if interrupted(exit_):  # typer caught it first and would not report it
            return _unforeseen(exit_, verbose)
        return exit_.code if isinstance(exit_.code, int) else 0
    except GatelineError as error:
        return _failed(str(error), error.exit_code, verbose)
    except BrokenPipeError:
        return 141
    except (Exception, KeyboardInterrupt) as error:
        return _unforeseen(error, verbose)
    return 0


def _unforeseen(error: BaseException, verbose: bool) -> int:
    if interrupted(error):
        return _failed(str(Interrupted()), Interrupted.exit_code, verbose)
    if is_transient(error):
        failure = EnvironmentFailure.of(error, "Run again later.")
        return _failed(str(failure), failure.exit_code, verbose)
    lines = str(error).strip().splitlines() or [""]
    first = f"{lines[0]} {lines[-1].strip()}" if lines[0].endswith(":") else lines[0]
    notes = "\n  ".join(["Run again with -v for the traceback.", *getattr(error, "__notes__", [])])
    return _failed(f"error: {type(error).__name__}: {first}\n  {notes}", 1, verbose)


def _failed(text: str, code: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    print(printable(text), file=sys.stderr)
    return code
