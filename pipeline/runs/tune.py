"""Hyperparameter search, from configuration to result: the implementation of the command `tune`."""

import dataclasses
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from pipeline import serving
from pipeline.config import Config
from pipeline.dag import search_line
from pipeline.engine.plan import Planner
from pipeline.lineage.states import RunState
from pipeline.runs import progress
from pipeline.runs.context import Request, RunContext
from pipeline.runs.line_run import LineOptions
from pipeline.store import Store
from schemas.artifacts import Search
from schemas.errors import ConfigurationError

VARIABLES = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")
COLOURS = {"finished": "green", "running": "bold", "too large": "yellow", "diverged": "yellow", "failed": "red"}


@dataclass(frozen=True)
class SearchResult:
    """The result of a search. `search` is None for a worker, because the chief has the result."""

    run: int
    search: Search | None

    @property
    def trials(self) -> list[dict[str, Any]]:
        """The trials, the best first, those without a score last."""
        return cast(Search, self.search).rows()

    def as_json(self) -> dict[str, Any]:
        if self.search is None:
            return {"run": self.run}
        return {"run": self.run, **dataclasses.asdict(self.search), "path": str(self.search.path), "rows": self.trials}


def search(config: Config, options: LineOptions, *, workers: int, name: str, command: str) -> SearchResult:
    """Runs the line up to transform, then the search.

    Raises:
        GatelineError: the run was refused or failed; see `exit_code`. The outcome is already recorded.
    """
    if config.tune.tuner == "bayesian" and importlib.util.find_spec("sklearn") is None:
        raise ConfigurationError(
            "tune.tuner bayesian needs scikit-learn", "pip install scikit-learn, or choose hyperband."
        )
    chief = is_chief(os.environ)
    node = search_line(config, options.destination, workers=workers, chief=chief, digests=options.digests)
    store = Store(options.root)
    planner = Planner.of(store, options.rerun, node)
    request = Request(name, command, node.stages, config.notify, config)
    with RunContext.begin(options, store, request, watch=watch) as run:
        serving.writable(options.destination)
        artifact = run.execute(node, planner, options.beam_on)
        run.finish(RunState.TUNED)
    return SearchResult(run.number, artifact if isinstance(artifact, Search) else None)


def is_chief(environment: Mapping[str, str]) -> bool:
    """Whether this process runs the oracle. False if keras-tuner's variables make it a worker of another chief.

    Raises:
        ConfigurationError: some of the variables are missing, or the port is not a number.
    """
    missing = [name for name in VARIABLES if not environment.get(name)]
    if len(missing) == len(VARIABLES):
        return True
    if missing:
        raise ConfigurationError(
            f"{' and '.join(missing)} must be set together with keras-tuner's other variables",
            "Set all three, or none.",
        )
    port = environment["KERASTUNER_ORACLE_PORT"]
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigurationError(f"KERASTUNER_ORACLE_PORT is {port}, which is not a port number", "For example: 8000")
    return "chief" in environment[VARIABLES[2]]  # the same rule as keras-tuner


def watch(console: Console, stages: list[str]) -> "Trials | TrialLines":
    return Trials(console, stages) if console.is_terminal else TrialLines(console)


class TrialLines(progress.Lines):
    """Prints a line for each finished trial."""

    def message(self, stage: str, text: str) -> None:
        if cells(text)[1:2] != ["running"]:
            super().message(stage, text)


@dataclass
class Trials(progress.Board):
    """Shows the table of stages and, below it, a table of trials, the newest last."""

    trials: dict[str, list[str]] = field(default_factory=dict)

    def message(self, stage: str, text: str) -> None:
        if row := cells(text):
            self.trials[row[0]] = row
        else:
            super().message(stage, text)

    def _render(self) -> Group:
        shown = list(self.trials.values())[-(self.console.height - len(self.stages) - 3) :]
        return Group(super()._render(), *([table(shown)] if shown else []))


def cells(text: str) -> list[str]:
    """The columns of a progress line of a trial: trial, state, epochs, accuracy, time, values. [] for other lines."""
    return text.split("  ", 5) if text.startswith("trial ") else []


def table(rows: list[list[str]]) -> Table:
    table = Table("", "", "epochs", "validation", "time", "", box=None, pad_edge=False, header_style="dim")
    for column in table.columns[2:5]:
        column.justify = "right"
    for trial, state, *numbers, values in rows:
        table.add_row(
            trial, Text(state, COLOURS.get(state, "")), *numbers, Text(values, "dim", overflow="ellipsis", no_wrap=True)
        )
    return table


def show(result: SearchResult) -> None:
    """Prints the ten best trials and the result."""
    if result.search is None:
        print("the search is done; the chief has the result")
        return
    rows = [
        [f"trial {row['trial']}", row["state"], *_numbers(row), _values(row["values"])] for row in result.trials[:10]
    ]
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=200)
    console.print(table(rows))
    console.print(
        Text(
            f"{result.search.trials} trials; trial {result.search.best} has validation accuracy "
            f"{result.search.accuracy:.4f}"
        )
    )
    console.print(Text(f"search  {result.search.path}", "dim"), soft_wrap=True)


def _numbers(row: dict[str, Any]) -> list[str]:
    return [str(row["epochs"]), "" if row["score"] is None else f"{row['score']:.4f}", f"{row['seconds']:.1f} s"]


def _values(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )
