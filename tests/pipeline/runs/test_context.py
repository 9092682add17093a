"""A run in progress: every outcome is recorded and then notified, without global state."""

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
from pipeline.report.gather import gather
from pipeline.runs.context import Request, RunContext, RunOptions
from pipeline.store import Store
from schemas.errors import DataError, EnvironmentFailure, Interrupted, Locked
from tests.pipeline.command_line import gateline
from tests.pipeline.tiny_line import failing, pick


@pytest.fixture
def events_file(tmp_path: Path) -> Path:
    return tmp_path / "events"


@pytest.fixture
def command_channel(events_file: Path) -> Notify:
    return Notify(command=[sys.executable, "-c", f"open({str(events_file)!r}, 'a').write(input() + '\\n')"])


def events(events_file: Path) -> list[tuple[str, int]]:
    rows = (
        [json.loads(line) for line in events_file.read_text(encoding="utf-8").splitlines()]
        if events_file.exists()
        else []
    )
    return [(row["state"], row["run"]) for row in rows]


def run_failing_line(root: Path, cause: str, targets: list[Notify]) -> None:
    store, node = Store(root), failing(number=pick(value=1), cause=cause)
    with RunContext.begin(RunOptions(root), store, Request("tiny", "tiny", ["pick"], targets)) as run:
        run.execute(node, Planner.of(store, Rerun(), node))
        run.finish(RunState.PARTIAL)


@pytest.mark.parametrize(
    ("cause", "error", "state", "code"),
    [
        ("data", DataError, RunState.REFUSED, 4),
        ("the network", EnvironmentFailure, RunState.FAILED, 75),
        ("a bug", ZeroDivisionError, RunState.FAILED, 1),
    ],
)
def test_a_run_that_raises_is_recorded_then_notified(
    tmp_path: Path,
    events_file: Path,
    command_channel: Notify,
    cause: str,
    error: type[Exception],
    state: RunState,
    code: int,
) -> None:
    with pytest.raises(error):
        run_failing_line(tmp_path / "root", cause, [command_channel])
    lineage = Lineage.at(tmp_path / "root", None)
    row = lineage.run(None)
    assert row and (row["state"], row["exit_code"]) == (state, code)
    assert events(events_file) == [(state, 1)]
    lineage.engine.dispose()


def test_an_interrupted_run_is_recorded_as_interrupted(tmp_path: Path) -> None:
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


def test_the_next_run_first_notifies_of_a_killed_run(
    tmp_path: Path, events_file: Path, command_channel: Notify
) -> None:
    lineage = Lineage.at(Store(tmp_path / "root").root, None)
    lineage.start(profile="tiny", command="tiny", config={})  # which is then killed
    run_failing_line(tmp_path / "root", "", [command_channel])
    assert events(events_file) == [("killed", 1)]  # a partial run sends no event
    assert [row["state"] for row in lineage.runs()] == ["partial", "killed"]
    lineage.engine.dispose()


def test_a_concurrent_run_is_refused_and_not_recorded(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with RunContext.begin(RunOptions(root), Store(root), Request("tiny", "tiny", [], [])) as run:
        with pytest.raises(Locked):
            run_failing_line(root, "", [])
        run.finish(RunState.PARTIAL)
    lineage = Lineage.at(root, None)
    assert [row["run"] for row in lineage.runs()] == [1]
    lineage.engine.dispose()


@pytest.mark.parametrize("command", [("tune",), ("schema", "infer")])
def test_every_command_that_runs_stages_notifies_of_a_killed_run(
    command: tuple[str, ...], tmp_path: Path, events_file: Path, command_channel: Notify
) -> None:
    settings = yaml.safe_load((PROFILES / "sample.yaml").read_text(encoding="utf-8"))
    settings["source"] = {"tfds": "no_such_data"}
    settings["notify"] = [command_channel.model_dump(mode="json", exclude_none=True)]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    database = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    lineage = Lineage.at(Store(tmp_path / "root").root, database)
    lineage.start(profile="sample", command="", config={})  # which is then killed
    options = ("--config", tmp_path / "own.yaml", "--root", tmp_path / "root", "--database", database)
    done = gateline(*command, *options)
    assert done.returncode == 4, done.stderr
    assert events(events_file) == [("killed", 1), ("refused", 2)]
    lineage.engine.dispose()


@pytest.mark.parametrize(
    ("state", "good"),
    [(state, state not in ("running", "refused", "failed", "interrupted", "killed")) for state in RunState],
)
def test_a_report_has_passed_unless_the_run_ended_badly(state: RunState, good: bool, tmp_path: Path) -> None:
    run = {"run": 1, "state": state, "message": "", "config": {}}
    assert gather(Store(tmp_path), run, []).passed is good
