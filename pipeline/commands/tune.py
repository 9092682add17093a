"""The command `tune`."""

import json
from typing import Annotated

import typer

from pipeline.commands import options

Trials = Annotated[
    int | None,
    typer.Option(min=1, help="Maximum number of trials. [default: tune.trials]", show_default=False),
]
Workers = Annotated[
    int, typer.Option(min=1, max=64, help="Number of processes on this machine that run trials at the same time.")
]


def tune(
    profile: options.Profile = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    root: options.Root = options.DEFAULT_ROOT,
    serving_dir: options.ServingDir = None,
    database: options.Database = None,
    trials: Trials = None,
    workers: Workers = 1,
    again: Annotated[bool, typer.Option("--again", help="Repeat the search, even if it is finished.")] = False,
    wait: options.Wait = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Search for hyperparameters on the validation split. The next run of the same configuration trains with the best.

    After a kill, the same command continues the search. Finished trials are kept.
    """
    from pipeline.config import load, selected
    from pipeline.dag import stage_of
    from pipeline.engine.plan import Rerun
    from pipeline.runs import tune
    from pipeline.runs.line_run import LineOptions
    from schemas.artifacts import Search

    overrides = [*(sets or []), *([f"tune.trials={trials}"] if trials else [])]
    profile, config = selected(profile, config)
    loaded = load(profile=profile, file=config, sets=overrides)
    line_options = LineOptions(
        root,
        serving_dir=serving_dir,
        database=database,
        rerun=Rerun(frozenset({stage_of(Search)} if again else ())),
        wait=wait,
        verbose=verbose,
    )
    name = str(config or profile)
    result = tune.search(loaded, line_options, workers=workers, name=name, command=options.typed())
    if as_json:
        print(json.dumps(result.as_json(), indent=2))
    else:
        tune.show(result)
