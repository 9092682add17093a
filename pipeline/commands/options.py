"""Options and functions that several commands share: `root: options.Root = options.DEFAULT_ROOT`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from pipeline import DATABASE_VARIABLE, DEFAULT_ROOT  # noqa: F401 - commands use options.DEFAULT_ROOT

P = TypeVar("P", Path, Path | None, list[Path] | None)


def expanded(value: P) -> P:
    """A path or several with `~` expanded. A shell does not expand it in `--root=~/x`, and services not in variables.

    The callback of every option that is a path.
    """
    if isinstance(value, list):
        return [path.expanduser() for path in value]
    return value.expanduser() if value else value


Root = Annotated[
    Path,
    typer.Option(
        "--root", envvar="GATELINE_ROOT", help="Directory of artifacts, lineage, logs and reports.", callback=expanded
    ),
]
ServingDir = Annotated[
    Path | None,
    typer.Option(
        "--serving-dir",
        envvar="GATELINE_SERVING_DIR",
        help="Directory that models are pushed to. [default: ROOT/serving]",
        show_default=False,
        callback=expanded,
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar=DATABASE_VARIABLE,
        help="SQLAlchemy URL of the lineage. [default: SQLite in ROOT]",
        show_default=False,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        help="A shipped profile: cnn, mnist, sample, seed_adam, seed_sgd. "
        "[default: ./gateline.yaml if it exists, otherwise sample]",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Your configuration file, instead of a profile.", show_default=False, callback=expanded
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting: train.epochs=3. May be repeated.", show_default=False),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait while another run holds the lock, instead of exiting with code 5.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show all logs, and a traceback on failure.")]
RunNumber = Annotated[
    int | None, typer.Argument(min=1, max=2**31, help="The run's number. [default: the last]", show_default=False)
]


def typed() -> str:
    """The command line, quoted for a shell."""
    return shlex.join(["python", "-m", "pipeline", *sys.argv[1:]])
