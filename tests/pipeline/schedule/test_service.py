"""The scheduler's lock, its triggers, and the process that runs the line."""

import dataclasses
import datetime
import sys
from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.schedule import service
from pipeline.schedule.child import Child
from pipeline.schedule.service import Service
from pipeline.schedule.state import Running, State
from schemas.errors import ConfigurationError, Locked
from schemas.settings.spans import READY

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
# A run of all stages pushes; one that ends with admit finds no drift.
PROGRAM = """import json, sys
admit = {"run": 1, "drifted": {}}
print(json.dumps(admit if "--until=admit" in sys.argv else {"run": 2, "version": 3, "new": True}))"""


def test_a_store_has_one_scheduler(tmp_path: Path) -> None:
    assert not service.is_alive(tmp_path)
    with service.lock(tmp_path):
        assert service.is_alive(tmp_path)
        with pytest.raises(Locked) as error, service.lock(tmp_path):
            pass
    assert str(error.value) == (
        f"locked: another scheduler holds {tmp_path / 'schedule.lock'}\n  Stop it first, or use another --root."
    )
    assert not service.is_alive(tmp_path)


def test_drift_without_an_effect_is_refused(tmp_path: Path) -> None:
    without_effect = Service(
        tmp_path, profile="sample", sets=(f"spans.directory={tmp_path}", "spans.drift.then=ignore"), on_new_span=True
    )
    with without_effect.start(print):
        pass
    with pytest.raises(ConfigurationError) as error, dataclasses.replace(without_effect, on_drift=True).start(print):
        pass
    assert error.value.cause == "--on-drift has no effect with spans.drift.then: ignore"


def test_a_started_scheduler_holds_the_lock_and_saves_each_state(tmp_path: Path) -> None:
    changes: list[tuple[State, State]] = []
    scheduler = Service(tmp_path, profile="sample", cron="0 3 * * *", timezone="Europe/Berlin")
    with scheduler.start(lambda before, state: changes.append((before, state)), now=lambda: NOW, sleep=no_sleep) as it:
        assert service.is_alive(tmp_path)
        it.step()
    assert not service.is_alive(tmp_path)
    [(before, state)] = changes
    assert (before.accounted, before.next) == (NOW, None)
    assert state.next == datetime.datetime(2026, 6, 2, 1, tzinfo=datetime.UTC)
    assert State.read(service.state_path(tmp_path)) == state


def test_a_password_of_the_database_is_not_in_the_command(tmp_path: Path) -> None:
    run = Service(tmp_path, profile="sample", database="postgresql://ada:secret@db/lineage").child()
    assert "secret" not in " ".join(run.command)
    program = "import json, os; print(json.dumps({'run': os.environ['GATELINE_DATABASE'], 'version': 1, 'new': True}))"
    ended = dataclasses.replace(run, command=[sys.executable, "-c", program])()
    assert ended.message == "version 1 (run postgresql://ada:secret@db/lineage)"


@pytest.mark.parametrize(("cause", "on_new_span", "outcome"), [
    ("", False, "pushed"), ("new span a", True, "pushed"), ("new span a", False, "no drift"),
])  # fmt: skip
def test_only_a_drifted_span_starts_the_line(tmp_path: Path, cause: str, on_new_span: bool, outcome: str) -> None:
    run = Child([sys.executable, "-c", PROGRAM], tmp_path / "log")
    running = Running(tick=NOW, started=NOW, cause=cause)
    assert service.run_if_drifted(run, running, on_new_span=on_new_span).outcome == outcome


def test_the_newest_complete_span_is_new_data(tmp_path: Path) -> None:
    config = load(profile="sample", sets=[f"spans.directory={tmp_path}"])
    assert service.new_data(config) is None
    (tmp_path / "span-0001").mkdir()
    (tmp_path / "span-0001" / READY).touch()
    data = service.new_data(config)
    assert data
    assert data.description == "new span span-0001"
    assert service.new_data(load(profile="sample", sets=[f"spans.directory={tmp_path / 'none'}"])) is None


def test_the_child_runs_the_line_with_the_same_directories(tmp_path: Path) -> None:
    root = tmp_path / "root"
    run = Service(root, tmp_path / "serving", profile="mnist", sets=("train.epochs=3",), time_limit=1).child()
    assert run.command[1:] == [
        "-m", "pipeline", "run", "--json", f"--root={root}", f"--serving-dir={tmp_path / 'serving'}", "--profile=mnist",
        "--set=train.epochs=3",
    ]  # fmt: skip
    assert (run.log, run.limit, run.environment) == (root / "logs" / "schedule.log", 60, {})


def no_sleep(seconds: float) -> None:
    """Returns at once: the simulated clock stands still."""
