"""The schedule's state on disk."""

from pathlib import Path

import pytest

from pipeline.schedule.state import State
from schemas.errors import StoreError
from tests.pipeline.schedule.simulation import World, at


def test_the_state_remembers_the_last_twenty(tmp_path: Path) -> None:
    world = World(clock=at("2026-06-01 12:00")).live(at("2026-07-15 12:00"))
    assert world.disk
    assert world.disk.recent == tuple(world.journal[-20:])
    world.disk.write(tmp_path / "schedule.json")
    assert State.read(tmp_path / "schedule.json") == world.disk
    assert [path.name for path in tmp_path.iterdir()] == ["schedule.json"]


def test_there_is_no_state_before_the_first_start_and_a_damaged_one_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    assert State.read(path) is None
    path.write_text('{"cron": "0 3 * *', encoding="utf-8")
    with pytest.raises(StoreError) as error:
        State.read(path)
    assert (
        str(error.value) == f"store: {path} is not a schedule's state\n  Remove it: the schedule then starts from now."
    )


def test_a_state_in_a_time_zone_that_there_is_not_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    State.begin(None, "0 3 * * *", "Mars", at("2026-01-01 13:00")).write(path)
    with pytest.raises(StoreError) as error:
        State.read(path)
    assert str(error.value) == (
        f"store: {path} is not a schedule's state: there is no time zone Mars\n"
        "  Remove it: the schedule then starts from now."
    )


def test_a_state_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    path.mkdir()
    with pytest.raises(StoreError) as error:
        State.read(path)
    assert error.value.cause == f"cannot read the schedule's state {path}: Is a directory"
    assert "Remove" not in error.value.remedy
