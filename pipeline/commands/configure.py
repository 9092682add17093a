"""The commands `settings` and `schema infer`: what may be configured."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.options import DEFAULT_ROOT, ConfigFile, Json, Profile, Root, Sets, Verbose


def settings(as_json: Json = False, verbose: Verbose = False) -> None:
    """List every setting of a configuration: what it is, what is allowed, and its default."""
    from pipeline.config import describe
    from pipeline.report import terminal

    rows = describe()
    if as_json:
        print(json.dumps([dict(zip(("key", "type", "default", "meaning"), row, strict=True)) for row in rows], indent=2))
    else:
        terminal.settings(rows)


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

    source = load(profile=profile, file=config, sets=sets).source
    path = out or Path(f"{source.name}.draft.pbtxt")
    draft.write(source, root, path, verbose=verbose)
    print(f"{path} is a draft: read it, correct what chance put there, remove the word DRAFT, and name it in `schema:`.")
