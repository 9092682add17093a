"""The command `tune`, and runs after it: only the command searches, once, and a run uses the best values."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from components.resolvers.searched import searched
from components.search import search
from components.tune import tune
from pipeline.commands.tune import tune as command
from pipeline.config import load
from pipeline.dag import line
from pipeline.engine.component import Node
from pipeline.report import terminal
from pipeline.runs import tune as searches
from schemas.errors import ConfigurationError, DataError
from schemas.settings.train import Train
from schemas.settings.tune import Space, Tune, with_values
from tests.components.bright import TRAIN
from tests.pipeline.bright_line import transform
from tests.pipeline.conftest import Line

TUNING = Tune(tuner="grid", space=Space(units=[2, 3]), max_epochs=1)
MORE_TRIALS = TUNING.model_copy(update={"trials": 31})


def search_line(tuning: Tune = TUNING, settings: Train = TRAIN, workers: int = 1) -> Node:
    return search(features=transform(), settings=settings, tuning=tuning, workers=workers)


def tune_line(tuning: Tune = TUNING, settings: Train = TRAIN) -> Node:
    features = transform()
    return tune(
        features=features,
        search=searched(features=features, settings=settings, tuning=tuning, made_by=search.name),
        settings=settings,
    )


def show_output(tiny: Line, capsys: pytest.CaptureFixture[str]) -> str:
    run = tiny.lineage.run(None)
    assert run
    terminal.show(run, tiny.lineage.executions(run["run"]))
    return capsys.readouterr().out


@pytest.mark.slow
def test_a_search_runs_once_and_later_runs_use_its_best_values(tiny: Line, capsys: pytest.CaptureFixture[str]) -> None:
    before = tiny.run(tune_line())
    assert before.origin == "configured"
    assert json.loads((before.path / "hyperparameters.json").read_text(encoding="utf-8")) == TRAIN.model_dump(
        mode="json"
    )
    assert "hyperparameters: configured\n" in show_output(tiny, capsys)

    result = tiny.run(search_line(workers=2))
    rows = json.loads((result.path / "trials.json").read_text(encoding="utf-8"))
    assert [(row["values"]["units"], row["state"]) for row in rows] == [(2, "finished"), (3, "finished")]
    assert tiny.actions(search_line(workers=1)) == {
        "transform": "reuse: nothing changed",
        "search": "reuse: nothing changed",
    }
    assert not list((tiny.store.root / "scratch").iterdir())

    assert tiny.actions(tune_line())["tune"] == "run: search is new"
    tuned = tiny.run(tune_line())
    best = max(rows, key=lambda row: row["score"])
    assert Train.model_validate_json((tuned.path / "hyperparameters.json").read_text(encoding="utf-8")) == with_values(
        TRAIN, best["values"]
    )
    origin = f"search {result.digest[:12]} (2 trials, validation accuracy {best['score']:.4f})"
    assert tuned.origin == origin
    assert f"hyperparameters: {origin}\n" in show_output(tiny, capsys)

    # The number of trials does not identify a search; training settings, search space and data do.
    assert tiny.run(tune_line(tuning=MORE_TRIALS)).origin == origin
    for other in (
        tune_line(settings=TRAIN.model_copy(update={"epochs": 11})),
        tune_line(tuning=Tune(tuner="grid", space=Space(units=[2, 4]), max_epochs=1)),
    ):
        assert tiny.run(other).origin == "configured"

    second = tiny.run(search_line(tuning=MORE_TRIALS))  # the latest search counts
    assert tiny.run(tune_line()).origin.startswith(f"search {second.digest[:12]} ")
    (second.path / "hyperparameters.json").unlink()
    with pytest.raises(DataError, match=r"hyperparameters\.json is missing"):
        tiny.run(tune_line())
    # Without a readable manifest, the artifact does not exist.
    (second.path / "manifest.json").write_text("{", encoding="utf-8")
    assert tiny.run(tune_line()).origin == origin


def test_the_line_contains_no_search() -> None:
    config = load(profile="sample")
    assert "search" not in [node.name for node in line(config, Path("serving")).walk()]
    names = [node.name for node in searches.search_line(config, Path("serving"), workers=1, chief=True).walk()]
    assert names[-2:] == ["transform", "search"]
    assert "train" not in names
    assert searches.search_line(config, Path("serving"), workers=1, chief=False).name == "work"


def test_a_process_is_the_chief_unless_its_environment_says_worker() -> None:
    worker = {"KERASTUNER_ORACLE_IP": "10.0.0.5", "KERASTUNER_ORACLE_PORT": "8000", "KERASTUNER_TUNER_ID": "worker1"}
    assert searches.is_chief({})
    assert not searches.is_chief(worker)
    assert searches.is_chief(worker | {"KERASTUNER_TUNER_ID": "chief"})
    with pytest.raises(
        ConfigurationError,
        match=r"^configuration: KERASTUNER_ORACLE_PORT must be set together with keras-tuner's other",
    ):
        searches.is_chief({name: value for name, value in worker.items() if "PORT" not in name})
    for port in ("eighty", "0", "65536"):
        with pytest.raises(ConfigurationError, match=f"KERASTUNER_ORACLE_PORT is {port}, which is not a port number"):
            searches.is_chief(worker | {"KERASTUNER_ORACLE_PORT": port})


MESSAGES = [
    "trial 0  running  1/2  0.5000  1.0 s  units 2",
    "trial 0  finished  2/2  0.6000  2.0 s  units 2",
    "trial 1  running  0/2  0.0000  0.1 s  units 3",
    "best: trial 0, validation accuracy 0.6000",
]


def watch_output(**options: Any) -> str:
    out = io.StringIO()
    with searches.watch(
        Console(file=out, width=100, height=40, highlight=False, **options), ["transform", "search"]
    ) as watching:
        watching.started("search")
        for text in MESSAGES:
            watching.message("search", text)
        watching.ended("search", "ran", "first time", 2.0)
    return out.getvalue()


def test_trials_are_printed_as_a_table_on_a_terminal_and_as_lines_elsewhere() -> None:
    last = watch_output(force_terminal=True, color_system=None).split("transform")[-1].splitlines()
    assert [line_.split() for line_ in last if line_.startswith("trial")] == [
        ["trial", "0", "finished", "2/2", "0.6000", "2.0", "s", "units", "2"],
        ["trial", "1", "running", "0/2", "0.0000", "0.1", "s", "units", "3"],
    ]
    lines = watch_output().splitlines()
    assert [line_.split(None, 1)[1] for line_ in lines] == [
        "...",
        MESSAGES[1],
        MESSAGES[3],
        "done       2.0 s  (first time)",
    ]


@pytest.mark.parametrize(("arguments", "message"), [(["--trials", "0"], "--trials"), (["--workers", "0"], "--workers")])
def test_zero_trials_or_workers_are_refused(arguments: list[str], message: str) -> None:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert message in done.output
