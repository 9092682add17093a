"""The commands `store verify` and `store gc`."""

import contextlib
import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import options
from schemas.errors import DataError


def verify(
    root: options.Root = options.DEFAULT_ROOT,
    database: options.Database = None,
    wait: options.Wait = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Recompute the digest of every file in the store. Exits with code 4 if one has changed."""
    from pipeline.report import console
    from pipeline.runs.lookup import lineage_at
    from pipeline.store import Store
    from pipeline.store.verify import verify as verify_store

    lineage, store = lineage_at(root, database), Store(root)
    with store.lock(wait=wait) if store.is_writable else contextlib.nullcontext():
        result = verify_store(store, lineage)
    if as_json:
        print(json.dumps(result.as_json(), indent=2))
    else:
        table = console.new_table("artifact", "problem", "remedy")
        for damage in result.damage:
            table.add_row(damage.artifact, damage.what, damage.remedy)
        summary = f"{result.artifacts} artifacts, {result.files:,} files, {size_text(result.bytes)}"
        console.echo(*([table] if result.damage else [f"{summary}: all intact"]))
    if result.damage:
        many = len(result.damage)
        raise DataError(
            f"{many} problem{'s'[: many != 1]} in the store {root}",
            result.damage[0].remedy,
        )


def gc(
    keep_runs: Annotated[
        int, typer.Option(min=0, help="Number of the newest runs whose artifacts are kept.", show_default=False)
    ],
    root: options.Root = options.DEFAULT_ROOT,
    serving_dir: Annotated[
        list[Path] | None,
        typer.Option(
            "--serving-dir",
            help="A serving directory in use. May be repeated. [default: all that were pushed to]",
            show_default=False,
            callback=options.expanded,
        ),
    ] = None,
    database: options.Database = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    wait: options.Wait = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Remove artifacts, reports and logs that no kept run, served version or pending approval needs."""
    from pipeline.dag import outputs
    from pipeline.report import console
    from pipeline.runs.lookup import lineage_at
    from pipeline.store import Store
    from pipeline.store.gc import Plan

    lineage, store = lineage_at(root, database), Store(root)
    with store.lock(wait=wait):
        plan = Plan.of(store, lineage, serving_dir, keep_runs=keep_runs, kinds=outputs())
        if not dry_run:
            plan.carry_out()
    if as_json:
        print(json.dumps({**plan.as_json(), "removed": not dry_run}, indent=2))
        return
    console.echo(*(f"artifact  {name}" for name in plan.artifacts), *(f"scratch   {name}" for name in plan.scratch))
    others = f"{len(plan.others)} reports, logs and pinned inputs"
    total = f"{len(plan.artifacts)} artifacts, {len(plan.scratch)} scratch directories, {others}"
    console.echo(
        f"{total}: {size_text(plan.bytes)} {'would be' if dry_run else 'are'} free; {len(plan.kept)} artifacts are kept"
    )


def size_text(size: float) -> str:
    """A number of bytes with a decimal unit: "4.0 KB"."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
