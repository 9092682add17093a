"""The commands `init`, `settings`, `stages` and `schema infer`."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import options
from schemas.text import listed

SHOWN = 10  # classes that never occur
DECLARED = "the contract marks classes that never occur as unused"


def settings(as_json: options.Json = False, verbose: options.Verbose = False) -> None:
    """List every setting: its meaning, the allowed values, and its default."""
    from rich.text import Text

    from pipeline.config import describe
    from pipeline.report import console

    described = describe()
    if as_json:
        print(json.dumps([dataclasses.asdict(each) for each in described], indent=2))
        return
    table = console.new_table("setting", "type", "range", "default", "meaning")
    for each in described:
        table.add_row(*map(Text, (each.title, each.type, each.range, each.default, each.meaning)))
    console.echo(table)


def stages(
    profile: options.Profile = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """List the stages in order, each with its direct predecessors. For orchestrators."""
    from pipeline.config import load, selected
    from pipeline.dag import line

    profile, config = selected(profile, config)
    nodes = line(load(profile=profile, file=config, sets=sets), Path()).walk()
    after = {node.name: node.needs for node in nodes if node.component.kind != "resolver"}
    if as_json:
        print(json.dumps([{"stage": stage, "after": needs} for stage, needs in after.items()], indent=2))
    else:
        print("\n".join(f"{stage:<14} {', '.join(needs)}".rstrip() for stage, needs in after.items()))


def infer(
    profile: options.Profile = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    root: options.Root = options.DEFAULT_ROOT,
    database: options.Database = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write. [default: <dataset>.draft.pbtxt]", show_default=False, callback=options.expanded
        ),
    ] = None,
    wait: options.Wait = False,
    verbose: options.Verbose = False,
) -> None:
    """Draft a data contract from a dataset's statistics. Review it before you use it."""
    from pipeline.config import load, selected
    from pipeline.runs import schema_draft
    from pipeline.runs.context import RunOptions

    profile, config = selected(profile, config)
    loaded = load(profile=profile, file=config, sets=sets)
    path = out or Path(f"{loaded.source.name}.draft.pbtxt")
    unused = schema_draft.write(loaded, RunOptions(root, database, wait, verbose), path)
    if unused:
        print(f"No images of {listed(unused, SHOWN)}: {DECLARED}.")
    print(f"{path} is a draft. Review it, correct the limits inferred from the sample, and remove its first line.")
    print("Then set `schema:` to its path.")


def init(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder of images, a table, or a TFDS dataset.")],
    root: options.Root = options.DEFAULT_ROOT,
    database: options.Database = None,
    out: Annotated[
        Path,
        typer.Option(help="The configuration to write. The contract is written beside it.", callback=options.expanded),
    ] = Path("gateline.yaml"),
    image: Annotated[str | None, typer.Option(help="Column or feature of images, if it is not `image`.")] = None,
    label: Annotated[str | None, typer.Option(help="Column or feature of labels, if it is not `label`.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of groups. A group is never divided between splits.")
    ] = None,
    wait: options.Wait = False,
    verbose: options.Verbose = False,
) -> None:
    """Draft a configuration and a data contract for a dataset. Review both before you use them."""
    from pipeline.runs import project_draft
    from pipeline.runs.context import RunOptions

    columns = {key: name for key, name in (("image", image), ("label", label), ("group", group)) if name}
    draft = project_draft.write(source, out, RunOptions(root, database, wait, verbose), columns)
    counts = sorted(draft.labels.items(), key=lambda pair: pair[1])
    print(f"images    {', '.join(f'{count:,} {split}' for split, count in draft.images.items())}")
    height, width, channels = (f"{low} to {high}" if low < high else f"{low}" for low, high in draft.sides.values())
    print(f"size      {height} x {width}, {channels} channel{'s'[: channels != '1']}")
    (rarest, fewest), (commonest, most) = counts[0], counts[-1]
    print(f"labels    {len(counts):,}; in train, {fewest:,} ({rarest}) to {most:,} ({commonest})")
    if draft.unused:
        print(f"unused    no images of {listed(draft.unused, SHOWN)}: {DECLARED}")
    if draft.metadata:
        columns_of = ", ".join(f"{name} ({count:,} values)" for name, count in draft.metadata.items())
        print(f"columns   {columns_of}: evaluate.slices can name them")
    if draft.unreadable:
        print(f"          {draft.unreadable:,} files could not be read and were set aside")
    print(f"wrote     {draft.config}, {draft.contract}")
    print("Review    the gates: which accuracy do you need?")
    if draft.min_examples:
        print(f"          gates.min_examples: a label has only {draft.min_examples:,} test images")
    for warning in draft.unjudgeable:
        print(f"          {warning}")
    print("          limits of drift in the contract: they are inferred from this sample")
    print("Then      python -m pipeline run")
