"""The command `run`."""

import json
from typing import Annotated

import typer

from pipeline.commands import options

Runner = Annotated[str, typer.Option(help="The Beam runner. DirectRunner runs in this process.")]
FromStage = Annotated[
    str | None,
    typer.Option("--from", help="Run this stage and all later ones even if nothing changed.", show_default=False),
]
Until = Annotated[str | None, typer.Option(help="The last stage to run.", show_default=False)]
Only = Annotated[
    str | None, typer.Option(help="Run one stage. Its inputs must already exist in the store.", show_default=False)
]
Hold = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Share looked-up inputs, such as the served version, between all runs with this NAME.",
        show_default=False,
    ),
]
Force = Annotated[
    list[str] | None, typer.Option(help="Run this stage even if nothing changed. May be repeated.", show_default=False)
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Run every stage even if nothing changed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would run, what would be reused, and why.")]
BeamArgs = Annotated[
    list[str] | None,
    typer.Option(help="An argument for Beam: --beam-arg=--name=value. May be repeated.", show_default=False),
]


def run(
    profile: options.Profile = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    root: options.Root = options.DEFAULT_ROOT,
    serving_dir: options.ServingDir = None,
    database: options.Database = None,
    runner: Runner = "DirectRunner",
    beam_arg: BeamArgs = None,
    from_stage: FromStage = None,
    until: Until = None,
    only: Only = None,
    hold: Hold = None,
    force: Force = None,
    no_cache: NoCache = False,
    dry_run: DryRun = False,
    wait: options.Wait = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Run the line: ingest, describe, validate, transform, tune, train, evaluate, check serving, approve, push."""
    from pipeline.config import load, selected
    from pipeline.engine.plan import Rerun
    from pipeline.engine.runner import validated_beam
    from pipeline.report import terminal
    from pipeline.runs import line_run
    from pipeline.runs.foreseen import unjudgeable_gates

    profile, config = selected(profile, config)
    loaded = load(profile=profile, file=config, sets=sets)
    line_options = line_run.LineOptions(
        root,
        serving_dir=serving_dir,
        database=database,
        rerun=Rerun(frozenset(force or ()), from_stage, no_cache),
        until=until,
        only=only,
        hold=hold,
        beam_on=validated_beam(runner, beam_arg or []),
        wait=wait,
        verbose=verbose,
    )
    if dry_run:
        steps = line_run.plan(loaded, line_options)
        terminal.plan(steps, unjudgeable_gates(loaded, steps), as_json=as_json)
        return
    outcome = line_run.run(loaded, line_options, name=str(config or profile), command=options.typed())
    if as_json:
        print(json.dumps(outcome.as_json(), indent=2))
    else:
        terminal.outcome(outcome)
