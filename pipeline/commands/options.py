"""Options and functions that several commands share."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.errors import ConfigurationError


def expanded(path: Path | None) -> Path | None:
    """The path with `~` expanded. A shell does not expand it in `--root=~/x`, and services not in variables."""
    return path.expanduser() if path else path


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
        envvar="GATELINE_DATABASE",
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

DEFAULT_ROOT = Path("gateline")


def typed() -> str:
    """The command line, quoted for a shell."""
    return shlex.join(["python", "-m", "pipeline", *sys.argv[1:]])


def lineage_at(root: Path, database: str | None) -> Any:
    """The lineage of an existing store.

    Raises:
        ConfigurationError: there is no store at `root`.
    """
    from pipeline.lineage import Lineage
    from pipeline.store import Store

    return Lineage.at(Store.existing(root).root, database)


def run_of(lineage: Any, number: int | None, root: Path) -> dict[str, Any]:
    """The row of a run, by default the last.

    Raises:
        ConfigurationError: it does not exist.
    """
    row: dict[str, Any] | None = lineage.run(number)
    if row is None:
        raise ConfigurationError(
            f"there is no run {'yet' if number is None else number} in {root}",
            "List them with python -m pipeline runs.",
        )
    return row
