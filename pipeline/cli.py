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
    help="Trains image classifiers and publishes a model only if it passes every gate.",
    epilog="Exit codes: 0 done, 1 unexpected error, 2 configuration or usage, 3 model refused, 4 data refused, "
    "5 locked, 75 network, disk or service failed, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print(f"gateline {version('gateline')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Trains image classifiers and publishes a model only if it passes every gate."""


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
store_app = typer.Typer(help="Verify the store, and delete unreachable artifacts.", no_args_is_help=True)
store_app.command()(store.verify)
store_app.command()(store.gc)
app.add_typer(store_app, name="store")
app.command()(approvals.approvals)
app.command()(approvals.approve)
app.command()(approvals.reject)
app.add_typer(serving.app, name="serving")
app.add_typer(schedule.app, name="schedule")


def main() -> None:
    """Runs a command. Prints a failure as a cause and a remedy, and exits with its exit code."""
    open_standard_streams()
    verbose = any(argument in ("-v", "--verbose") for argument in sys.argv[1:])
    try:
        code = _run_command(verbose)
        signals.ignore()
    except BaseException as error:  # a signal outside `_run_command`, or while another error was reported
        signals.ignore()
        code = _unexpected(error, verbose)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()  # TensorFlow's generated code in the temporary directory is removed here
    # All files are written and closed. A normal exit would shut down TensorFlow, which takes two seconds, and wait for
    # threads of a stopped Beam pipeline.
    os._exit(code)


def _run_command(verbose: bool) -> int:
    signals.install()
    with contextlib.suppress(FileNotFoundError):  # modules of source.module and source.custom may be there
        sys.path.append(str(Path.cwd()))  # the last: a module there must not hide one of ours
    gc.set_threshold(50_000, 20, 20)  # imports create many permanent objects, which are not worth scanning repeatedly
    try:
        app(prog_name="gateline")
    except SystemExit as exit_request:
        if interrupted(exit_request):  # typer catches the interruption and does not report it
            return _unexpected(exit_request, verbose)
        return exit_request.code if isinstance(exit_request.code, int) else 0
    except GatelineError as error:
        return _report_failure(str(error), error.exit_code, verbose)
    except BrokenPipeError:
        return 141
    except (Exception, KeyboardInterrupt) as error:
        return _unexpected(error, verbose)
    return 0


def _unexpected(error: BaseException, verbose: bool) -> int:
    if interrupted(error):
        return _report_failure(str(Interrupted()), Interrupted.exit_code, verbose)
    if is_transient(error):
        failure = EnvironmentFailure.of(error, "Run again later.")
        return _report_failure(str(failure), failure.exit_code, verbose)
    lines = str(error).strip().splitlines() or [""]
    first = f"{lines[0]} {lines[-1].strip()}" if lines[0].endswith(":") else lines[0]
    notes = "\n  ".join(["Run again with -v for the traceback.", *getattr(error, "__notes__", [])])
    return _report_failure(f"error: {type(error).__name__}: {first}\n  {notes}", 1, verbose)


def _report_failure(text: str, code: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    print(printable(text), file=sys.stderr)
    return code
