"""The commands `serving ...`: list, verify and roll back versions in the serving directory."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.options import DEFAULT_ROOT, Json, Root, ServingDir, Verbose, expanded
from schemas.errors import ConfigurationError, DataError
from schemas.text import printable

if TYPE_CHECKING:
    from pipeline.serving import ModelDirectory, Version

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
    root: Root = DEFAULT_ROOT,
    serving_dir: ServingDir = None,
    model: Model = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List versions, the newest first, with their state: served, pinned, rolled back."""
    from rich.text import Text

    from pipeline.report import terminal
    from pipeline.report.times import local

    rows = [
        row for name in _names(root, serving_dir, model) for row in _rows(_model_directory(root, serving_dir, name))
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = terminal.new_table(
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
    terminal.echo(table if rows else "nothing was pushed yet")


def _rows(directory: "ModelDirectory") -> list[dict[str, Any]]:
    versions, pinned, rolled_back = directory.versions(), directory.pinned(), directory.rolled_back()
    return [
        _row(version, version is versions[-1], version.number in pinned, rolled_back) for version in reversed(versions)
    ]


def _row(version: "Version", served: bool, pinned: bool, rolled_back: dict[str, int]) -> dict[str, Any]:
    state = ["served"] if served else []
    state += ["pinned"] if pinned else []
    state += ["rolled back"] if version.identity in rolled_back else []
    if version.rollback:
        why = f": {version.rollback['reason']}" if version.rollback["reason"] else ""
        state.append(f"rollback to version {version.rollback['to']} from {version.rollback['of']}{why}")
    return {
        "model": version.path.parent.name,
        "version": version.number,
        "accuracy": version.record().accuracy,
        "run": version.provenance.get("run"),
        "published": version.provenance.get("published"),
        "approved_by": (version.provenance.get("approved") or {}).get("by", ""),
        "state": state,
        "path": str(version.path),
    }


@app.command()
def verify(
    number: Annotated[
        int | None, typer.Argument(min=1, metavar="VERSION", help="The version. [default: all]", show_default=False)
    ] = None,
    root: Root = DEFAULT_ROOT,
    serving_dir: ServingDir = None,
    model: Model = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key", help="Also check signatures with this key.", show_default=False, callback=expanded
        ),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Recompute every digest and name each file that differs from the pushed one. Exits with code 4 if one does."""
    from pipeline.serving import signing
    from schemas.settings.push import Signing

    keys = Signing(public_key=str(public_key)) if public_key else None
    signing.ready(keys)
    names = [_name(root, serving_dir, model)] if number else _names(root, serving_dir, model)
    directories = [_model_directory(root, serving_dir, name) for name in names]
    damage, rollbacks = dict[str, list[str]](), dict[str, None]()
    for directory in directories:
        for path in [directory.version_path(number)] if number else directory.entries():
            problems = directory.findings(path) + (signing.check(path, keys) if keys and path.is_dir() else [])
            if os.path.lexists(path):  # unless the version was removed in the meantime
                damage[f"{directory.model}/{path.name}"] = problems
                rollbacks |= {directory.command("rollback"): None} if problems else {}
    if as_json:
        print(json.dumps(damage, indent=2))
    else:
        for name, problems in damage.items():
            print("\n".join(printable(f"{name}  {line}") for line in problems or ["intact"]))
    if bad := [name for name, problems in damage.items() if problems]:
        remedy = f"Move it away if it is not served; if it is, roll back first: {'; '.join(rollbacks)}"
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
    root: Root = DEFAULT_ROOT,
    serving_dir: ServingDir = None,
    model: Model = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", help="Sign the new version with this private key.", show_default=False, callback=expanded
        ),
    ] = None,
    password_env: Annotated[
        str | None,
        typer.Option("--password-env", help="Environment variable that holds the key's password.", show_default=False),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Serve an older model again, as a new version."""
    from pipeline.serving import signing
    from schemas.settings.push import Signing

    if password_env and not key:
        cause = f"--password-env {password_env} is for a key, and --key is missing"
        raise ConfigurationError(cause, "Add --key, or remove --password-env.")
    keys = Signing(key=str(key), password_env=password_env) if key else None
    signing.ready(keys)
    directory = dataclasses.replace(
        _model_directory(root, serving_dir, _name(root, serving_dir, model)), seal=signing.seal(keys)
    )
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
    root: Root = DEFAULT_ROOT,
    serving_dir: ServingDir = None,
    model: Model = None,
    verbose: Verbose = False,
) -> None:
    """Pin a version, so that it is never removed."""
    _model_directory(root, serving_dir, _name(root, serving_dir, model)).pin(number)
    print(f"version {number} is pinned")


@app.command()
def unpin(
    number: Number,
    root: Root = DEFAULT_ROOT,
    serving_dir: ServingDir = None,
    model: Model = None,
    verbose: Verbose = False,
) -> None:
    """Unpin a version, so that it can be removed."""
    _model_directory(root, serving_dir, _name(root, serving_dir, model)).pin(number, pinned=False)
    print(f"version {number} is no longer pinned")


@app.command()
def gc(
    keep: Annotated[int, typer.Option(min=2, help="Number of the newest versions to keep.")] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    root: Root = DEFAULT_ROOT,
    serving_dir: ServingDir = None,
    model: Model = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Remove old versions. Keeps the served, previous, pinned and best versions, and the target of a rollback."""
    directories = [_model_directory(root, serving_dir, name) for name in _names(root, serving_dir, model)]
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


def _model_directory(root: Path, serving_dir: Path | None, name: str) -> "ModelDirectory":
    from pipeline.serving import ModelDirectory

    return ModelDirectory(_directory(root, serving_dir), name)


def _names(root: Path, serving_dir: Path | None, model: str | None) -> list[str]:
    """The named model, or all models."""
    from pipeline.serving import models

    directory = _directory(root, serving_dir)
    known = models(directory)
    if model is not None and model not in known:
        served = f"It serves {', '.join(known)}." if known else "Nothing was pushed there yet."
        raise ConfigurationError(f"{directory} serves no model {model}", served)
    return [model] if model else known


def _name(root: Path, serving_dir: Path | None, model: str | None) -> str:
    """The named model, or the only one."""
    known = _names(root, serving_dir, model)
    if len(known) == 1:
        return known[0]
    directory = _directory(root, serving_dir)
    if not known:
        raise ConfigurationError(
            f"nothing was pushed to {directory} yet", "Run the line first, or name another with --serving-dir."
        )
    raise ConfigurationError(f"{directory} serves {', '.join(known)}", "Name one with --model.")


def _directory(root: Path, serving_dir: Path | None) -> Path:
    from pipeline.serving import default_dir

    return serving_dir or default_dir(root)
