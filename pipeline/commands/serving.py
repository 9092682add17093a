"""The commands `serving ...`: list, verify and roll back versions in the serving directory."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands import options
from schemas.errors import ConfigurationError, DataError
from schemas.text import printable

if TYPE_CHECKING:
    from pipeline.serving import ModelDirectory

Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="The model. Required if there are several.", show_default=False),
]
Number = Annotated[int, typer.Argument(min=1, metavar="VERSION", help="The version's number.", show_default=False)]
app = typer.Typer(
    help="The serving directory: list, verify, roll back, pin, and remove old versions.", no_args_is_help=True
)


@app.command("list")
def list_(
    root: options.Root = options.DEFAULT_ROOT,
    serving_dir: options.ServingDir = None,
    model: Model = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """List versions, the newest first, with their state: served, pinned, rolled back."""
    from rich.text import Text

    from pipeline.report import console
    from pipeline.report.times import local
    from pipeline.serving import listing

    rows = [row for directory in _model_directories(root, serving_dir, model) for row in listing.rows(directory)]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = console.new_table(
        "model", "version", "accuracy", "run", "pushed", "approved by", "", right=("version", "accuracy", "run")
    )
    for row in rows:
        pushed = local(row["published"]) if row["published"] else ""
        cells = (
            row["model"],
            str(row["version"]),
            f"{row['accuracy']:.4f}",
            str(row["run"]),
            pushed,
            row["approved_by"],
        )
        table.add_row(*map(Text, cells), Text(", ".join(row["state"]), "green" if "served" in row["state"] else ""))
    console.echo(table if rows else "nothing was pushed yet")


@app.command()
def verify(
    number: Annotated[
        int | None, typer.Argument(min=1, metavar="VERSION", help="The version. [default: all]", show_default=False)
    ] = None,
    root: options.Root = options.DEFAULT_ROOT,
    serving_dir: options.ServingDir = None,
    model: Model = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key", help="Also check signatures with this key.", show_default=False, callback=options.expanded
        ),
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Recompute every digest and name each file that differs from the pushed one. Exits with code 4 if one does."""
    from pipeline.serving import listing, signing
    from schemas.settings.push import Signing

    keys = Signing(public_key=str(public_key)) if public_key else None
    signing.ready(keys)
    one, several = _model_directory, _model_directories
    directories = [one(root, serving_dir, model)] if number else several(root, serving_dir, model)
    damage = listing.verify(directories, number, keys)
    if as_json:
        print(json.dumps(damage, indent=2))
    else:
        for name, problems in damage.items():
            print("\n".join(printable(f"{name}  {line}") for line in problems or ["intact"]))
    if bad := [name for name, problems in damage.items() if problems]:
        damaged = {name.partition("/")[0] for name in bad}
        commands = (each.command("rollback") for each in directories if each.model in damaged)
        remedy = f"Move it away if it is not served; if it is, roll back first: {'; '.join(commands)}"
        raise DataError(f"{', '.join(bad)} {'differs' if len(bad) == 1 else 'differ'} from what was pushed", remedy)


@app.command()
def rollback(
    to: Annotated[
        int | None,
        typer.Option(
            min=1, help="The version. [default: the newest older one that was not rolled back]", show_default=False
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="The reason, which is recorded.")] = "",
    root: options.Root = options.DEFAULT_ROOT,
    serving_dir: options.ServingDir = None,
    model: Model = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", help="Sign the new version with this private key.", show_default=False, callback=options.expanded
        ),
    ] = None,
    password_env: Annotated[
        str | None,
        typer.Option("--password-env", help="Environment variable that holds the key's password.", show_default=False),
    ] = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Serve an older model again, as a new version."""
    from pipeline.serving import signing
    from schemas.settings.push import Signing

    if password_env and not key:
        cause = f"--password-env {password_env} is for a key, and --key is missing"
        raise ConfigurationError(cause, "Add --key, or remove --password-env.")
    keys = Signing(key=str(key), password_env=password_env) if key else None
    signing.ready(keys)
    directory = dataclasses.replace(_model_directory(root, serving_dir, model), seal=signing.seal(keys))
    version = directory.rollback(to=to, reason=reason)
    facts = version.rollback or {}
    if as_json:
        print(json.dumps({"version": version.number, "path": str(version.path), **facts}, indent=2))
    else:
        text = "version {} serves the model of version {to} again, in place of version {of}"
        print(text.format(version.number, **facts))
        if keys is None and (directory.path / str(facts["of"]) / signing.SIGNATURE).exists():
            print(f"it is not signed, unlike version {facts['of']}; sign it with --key")


@app.command()
def pin(
    number: Number,
    root: options.Root = options.DEFAULT_ROOT,
    serving_dir: options.ServingDir = None,
    model: Model = None,
    verbose: options.Verbose = False,
) -> None:
    """Pin a version, so that it is never removed."""
    _model_directory(root, serving_dir, model).pin(number)
    print(f"version {number} is pinned")


@app.command()
def unpin(
    number: Number,
    root: options.Root = options.DEFAULT_ROOT,
    serving_dir: options.ServingDir = None,
    model: Model = None,
    verbose: options.Verbose = False,
) -> None:
    """Unpin a version, so that it can be removed."""
    _model_directory(root, serving_dir, model).pin(number, pinned=False)
    print(f"version {number} is no longer pinned")


@app.command()
def gc(
    keep: Annotated[int, typer.Option(min=2, help="Number of the newest versions to keep.")] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    root: options.Root = options.DEFAULT_ROOT,
    serving_dir: options.ServingDir = None,
    model: Model = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Remove old versions. Keeps the served, previous, pinned and best versions, and the target of a rollback."""
    directories = _model_directories(root, serving_dir, model)
    removed = {
        directory.model: [v.number for v in (directory.removable(keep) if dry_run else directory.apply_retention(keep))]
        for directory in directories
    }
    if as_json:
        print(json.dumps(removed, indent=2))
        return
    verb = "would be removed" if dry_run else "removed"
    lines = [f"{name}/{number} {verb}" for name, numbers in removed.items() for number in numbers]
    print("\n".join(lines) or "nothing to remove")


def _model_directories(root: Path, serving_dir: Path | None, model: str | None) -> list["ModelDirectory"]:
    """The named model, or all models."""
    from pipeline.serving import default_dir, listing

    return listing.model_directories(serving_dir or default_dir(root), model)


def _model_directory(root: Path, serving_dir: Path | None, model: str | None) -> "ModelDirectory":
    """The named model, or the only one."""
    from pipeline.serving import default_dir, listing

    return listing.model_directory(serving_dir or default_dir(root), model)
