"""The schedule's state on disk."""

from pathlib import Path

import pytest

from pipeline.schedule.state import State
from schemas.errors import StoreError
from tests.pipeline.schedule.simulation import World, berlin_time


def test_the_state_keeps_the_last_twenty_entries(tmp_path: Path) -> None:
    world = World(clock=berlin_time("2026-06-01 12:00")).run_until(berlin_time("2026-07-15 12:00"))
    assert world.disk
    assert world.disk.recent == tuple(world.journal[-20:])
    world.disk.write(tmp_path / "schedule.json")
    assert State.read(tmp_path / "schedule.json") == world.disk
    assert [path.name for path in tmp_path.iterdir()] == ["schedule.json"]


def test_a_missing_state_is_none_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    assert State.read(path) is None
    path.write_text('{"cron": "0 3 * *', encoding="utf-8")
    with pytest.raises(StoreError) as error:
        State.read(path)
    assert (
        str(error.value) == f"store: {path} is not a schedule's state\n  Remove it: the schedule then starts from now."
    )


def test_a_state_with_an_unknown_time_zone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    State.begin(None, "0 3 * * *", "Mars", berlin_time("2026-01-01 13:00")).write(path)
    with pytest.raises(StoreError) as error:
        State.read(path)
    assert str(error.value) == (
        f"store: {path} is not a schedule's state: there is no time zone Mars\n"
        "  Remove it: the schedule then starts from now."
    )


def test_an_unreadable_state_is_not_reported_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    path.mkdir()
    with pytest.raises(StoreError) as error:
        State.read(path)
    assert error.value.cause == f"cannot read the schedule's state {path}: Is a directory"
    assert "Remove" not in error.value.remedy
