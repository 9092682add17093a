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
from schemas.settings.tune import Space, Tune, drawn
from tests.components.bright import TRAIN
from tests.pipeline.bright_line import transform
from tests.pipeline.conftest import Line

HOW = Tune(tuner="grid", space=Space(units=[2, 3]), max_epochs=1)
MORE = HOW.model_copy(update={"trials": 31})


def to_search(how: Tune = HOW, settings: Train = TRAIN, workers: int = 1) -> Node:
    return search(features=transform(), settings=settings, tuning=how, workers=workers)


def to_tune(how: Tune = HOW, settings: Train = TRAIN) -> Node:
    features = transform()
    return tune(features=features, search=searched(features=features, settings=settings, tuning=how), settings=settings)


def shown(tiny: Line, capsys: pytest.CaptureFixture[str]) -> str:
    found = tiny.lineage.run(None)
    assert found
    terminal.show(found, tiny.lineage.executions(found["run"]))
    return capsys.readouterr().out


def test_a_search_is_made_once_and_the_next_run_uses_its_winner(tiny: Line, capsys: pytest.CaptureFixture[str]) -> None:
    before = tiny.run(to_tune())
    assert before.origin == "configured"
    assert json.loads((before.path / "hyperparameters.json").read_text(encoding="utf-8")) == TRAIN.model_dump(
        mode="json"
    )
    assert "hyperparameters: configured\n" in shown(tiny, capsys)

    made = tiny.run(to_search(workers=2))
    rows = json.loads((made.path / "trials.json").read_text(encoding="utf-8"))
    assert [(row["values"]["units"], row["state"]) for row in rows] == [(2, "finished"), (3, "finished")]
    assert tiny.actions(to_search(workers=1)) == {
        "transform": "reuse: nothing changed",
        "search": "reuse: nothing changed",
    }
    assert not list((tiny.store.root / "scratch").iterdir())

    assert tiny.actions(to_tune())["tune"] == "run: search is new"
    used = tiny.run(to_tune())
    best = max(rows, key=lambda row: row["score"])
    assert Train.model_validate_json((used.path / "hyperparameters.json").read_text(encoding="utf-8")) == drawn(
        TRAIN, best["values"]
    )
    words = f"search {made.digest[:12]} (2 trials, validation accuracy {best['score']:.4f})"
    assert used.origin == words
    assert f"hyperparameters: {words}\n" in shown(tiny, capsys)

    # How many trials it might have made is no other search; other training, another space, other data are.
    assert tiny.run(to_tune(how=MORE)).origin == words
    for other in (
        to_tune(settings=TRAIN.model_copy(update={"epochs": 11})),
        to_tune(how=Tune(tuner="grid", space=Space(units=[2, 4]), max_epochs=1)),
    ):
        assert tiny.run(other).origin == "configured"

    again = tiny.run(to_search(how=MORE))  # the last one counts
    assert tiny.run(to_tune()).origin.startswith(f"search {again.digest[:12]} ")
    (again.path / "hyperparameters.json").unlink()
    with pytest.raises(DataError, match=r"hyperparameters\.json is missing"):
        tiny.run(to_tune())
    (again.path / "manifest.json").write_text("{", encoding="utf-8")  # what has no readable manifest does not exist
    assert tiny.run(to_tune()).origin == words


def test_the_line_searches_nothing() -> None:
    config = load(profile="sample")
    assert "search" not in [node.name for node in line(config, Path("serving")).walk()]
    names = [node.name for node in searches.search_line(config, Path("serving"), workers=1, chief=True).walk()]
    assert names[-2:] == ["transform", "search"]
    assert "train" not in names
    assert searches.search_line(config, Path("serving"), workers=1, chief=False).name == "work"


def test_a_process_is_the_chief_unless_the_variables_call_it_a_worker() -> None:
    given = {"KERASTUNER_ORACLE_IP": "10.0.0.5", "KERASTUNER_ORACLE_PORT": "8000", "KERASTUNER_TUNER_ID": "worker1"}
    assert searches.is_chief({})
    assert not searches.is_chief(given)
    assert searches.is_chief(given | {"KERASTUNER_TUNER_ID": "chief"})
    with pytest.raises(
        ConfigurationError,
        match=r"^configuration: KERASTUNER_ORACLE_PORT must be set together with keras-tuner's other",
    ):
        searches.is_chief({name: value for name, value in given.items() if "PORT" not in name})
    for port in ("eighty", "0", "65536"):
        with pytest.raises(ConfigurationError, match=f"KERASTUNER_ORACLE_PORT is {port}, which is not a port number"):
            searches.is_chief(given | {"KERASTUNER_ORACLE_PORT": port})


SAID = [
    "trial 0  running  1/2  0.5000  1.0 s  units 2",
    "trial 0  finished  2/2  0.6000  2.0 s  units 2",
    "trial 1  running  0/2  0.0000  0.1 s  units 3",
    "best: trial 0, validation accuracy 0.6000",
]


def watched(**how: Any) -> str:
    out = io.StringIO()
    with searches.watch(
        Console(file=out, width=100, height=40, highlight=False, **how), ["transform", "search"]
    ) as watching:
        watching.started("search")
        for text in SAID:
            watching.message("search", text)
        watching.ended("search", "ran", "first time", 2.0)
    return out.getvalue()


def test_trials_are_a_table_on_a_terminal_and_lines_elsewhere() -> None:
    last = watched(force_terminal=True, color_system=None).split("transform")[-1].splitlines()
    assert [line_.split() for line_ in last if line_.startswith("trial")] == [
        ["trial", "0", "finished", "2/2", "0.6000", "2.0", "s", "units", "2"],
        ["trial", "1", "running", "0/2", "0.0000", "0.1", "s", "units", "3"],
    ]
    lines = watched().splitlines()
    assert [line_.split(None, 1)[1] for line_ in lines] == ["...", SAID[1], SAID[3], "done       2.0 s  (first time)"]


@pytest.mark.parametrize(("arguments", "words"), [(["--trials", "0"], "--trials"), (["--workers", "0"], "--workers")])
def test_nothing_to_try_and_nobody_to_try_it_is_refused(arguments: list[str], words: str) -> None:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert words in done.output
