"""A run in progress: recorded however it ends, notified afterwards, and nothing of it is global."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.config import PROFILES
from pipeline.engine.plan import Planner, Rerun
from pipeline.lineage import Lineage
from pipeline.lineage.states import RunState
from pipeline.notify import Notify
from pipeline.report.facts import gather
from pipeline.runs.context import Request, RunContext, RunOptions
from pipeline.store import Store
from schemas.errors import DataError, EnvironmentFailure, Interrupted, Locked
from tests.pipeline.command_line import gateline
from tests.pipeline.tiny_line import pick, stumble


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told"


@pytest.fixture
def program(told: Path) -> Notify:
    return Notify(command=[sys.executable, "-c", f"open({str(told)!r}, 'a').write(input() + '\\n')"])


def events(told: Path) -> list[tuple[str, int]]:
    rows = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()] if told.exists() else []
    return [(row["state"], row["run"]) for row in rows]


def stumbles(root: Path, over: str, targets: list[Notify]) -> None:
    store, node = Store(root), stumble(number=pick(value=1), over=over)
    with RunContext.begin(RunOptions(root), store, Request("tiny", "tiny", ["pick"], targets)) as run:
        run.execute(node, Planner.of(store, Rerun(), node))
        run.finish(RunState.PARTIAL)


@pytest.mark.parametrize(
    ("over", "error", "state", "code"),
    [
        ("data", DataError, RunState.REFUSED, 4),
        ("the network", EnvironmentFailure, RunState.FAILED, 75),
        ("a bug", ZeroDivisionError, RunState.FAILED, 1),
    ],
)
def test_a_run_that_raises_is_recorded_then_notified(
    tmp_path: Path, told: Path, program: Notify, over: str, error: type[Exception], state: RunState, code: int
) -> None:
    with pytest.raises(error):
        stumbles(tmp_path / "root", over, [program])
    lineage = Lineage.at(tmp_path / "root", None)
    row = lineage.run(None)
    assert row and (row["state"], row["exit_code"]) == (state, code)
    assert events(told) == [(state, 1)]
    lineage.engine.dispose()


def test_an_interrupted_run_is_recorded_as_that(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with (
        pytest.raises(Interrupted),
        RunContext.begin(RunOptions(root), Store(root), Request("tiny", "tiny", [], [])),
    ):
        raise KeyboardInterrupt
    lineage = Lineage.at(root, None)
    row = lineage.run(1)
    assert row and (row["state"], row["exit_code"]) == (RunState.INTERRUPTED, 130)
    lineage.engine.dispose()


def test_the_next_run_notifies_of_a_killed_one_first(tmp_path: Path, told: Path, program: Notify) -> None:
    lineage = Lineage.at(Store(tmp_path / "root").root, None)
    lineage.start(profile="tiny", command="tiny", config={})  # and is killed
    stumbles(tmp_path / "root", "", [program])
    assert events(told) == [("killed", 1)]  # a partial run is no event
    assert [row["state"] for row in lineage.runs()] == ["partial", "killed"]
    lineage.engine.dispose()


def test_while_one_works_another_is_refused_and_records_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with RunContext.begin(RunOptions(root), Store(root), Request("tiny", "tiny", [], [])) as run:
        with pytest.raises(Locked):
            stumbles(root, "", [])
        run.finish(RunState.PARTIAL)
    lineage = Lineage.at(root, None)
    assert [row["run"] for row in lineage.runs()] == [1]
    lineage.engine.dispose()


@pytest.mark.parametrize("command", [("tune",), ("schema", "infer")])
def test_every_command_that_runs_stages_notifies_of_a_killed_run(
    command: tuple[str, ...], tmp_path: Path, told: Path, program: Notify
) -> None:
    settings = yaml.safe_load((PROFILES / "sample.yaml").read_text(encoding="utf-8"))
    settings["source"] = {"tfds": "no_such_data"}
    settings["notify"] = [program.model_dump(mode="json", exclude_none=True)]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    database = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    lineage = Lineage.at(Store(tmp_path / "root").root, database)
    lineage.start(profile="sample", command="", config={})  # and is killed
    options = ("--config", tmp_path / "own.yaml", "--root", tmp_path / "root", "--database", database)
    done = gateline(*command, *options)
    assert done.returncode == 4, done.stderr
    assert events(told) == [("killed", 1), ("refused", 2)]
    lineage.engine.dispose()


@pytest.mark.parametrize(
    ("state", "good"),
    [(state, state not in ("running", "refused", "failed", "interrupted", "killed")) for state in RunState],
)
def test_the_report_of_a_good_end_is_not_red(state: RunState, good: bool, tmp_path: Path) -> None:
    run = {"run": 1, "state": state, "message": "", "config": {}}
    assert gather(Store(tmp_path), run, []).passed is good
