"""The scheduler's lock, its triggers, and the process that runs the line."""

import datetime
import sys
from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.schedule import service
from pipeline.schedule.child import Child
from pipeline.schedule.state import Running
from pipeline.store import Store
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
    config = load(profile="sample", sets=[f"spans.directory={tmp_path}", "spans.drift.then=ignore"])
    service.check_triggers(config, on_new_span=True, on_drift=False)
    with pytest.raises(ConfigurationError) as error:
        service.check_triggers(config, on_new_span=False, on_drift=True)
    assert error.value.cause == "--on-drift has no effect with spans.drift.then: ignore"


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
    root = Store(tmp_path / "root").root
    run = service.child(root, tmp_path / "serving", ["--profile=mnist"], limit=60)
    assert run.command[1:] == [
        "-m", "pipeline", "run", "--json", f"--root={root}", f"--serving-dir={tmp_path / 'serving'}", "--profile=mnist",
    ]  # fmt: skip
    assert (run.log, run.limit) == (root / "logs" / "schedule.log", 60)
