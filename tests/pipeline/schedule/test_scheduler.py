"""Ticks in simulated time: each is run once or accounted for, whatever happens to the host and its clock."""

import datetime
import random

import pytest

from pipeline.schedule.scheduler import MISSED, Rules
from pipeline.schedule.state import Ended
from tests.pipeline.schedule.simulation import (
    BERLIN,
    BUSY,
    DAY,
    FAILED,
    HOUR,
    MINUTE,
    PUSHED,
    REFUSED,
    UTC,
    Crash,
    World,
    accounted,
    at,
    berlin,
)


def test_a_quiet_year_runs_every_night_once_at_three() -> None:
    world = World()
    start, end = world.clock, at("2027-01-01 12:00")
    world.live(end)
    expected = berlin(start, end)
    assert len(expected) == 365
    assert [entry.tick for entry in world.journal] == world.tries == expected
    assert {(entry.outcome, entry.ticks, entry.tries) for entry in world.journal} == {("pushed", 1, 1)}
    assert {tick.astimezone(BERLIN).hour for tick in expected} == {3}
    assert len({tick.hour for tick in expected}) == 2  # in UTC: winter and summer


@pytest.mark.parametrize("missed", MISSED)
@pytest.mark.parametrize("seed", range(2))
def test_in_a_bad_year_every_tick_is_run_once_or_accounted_for(missed: str, seed: int) -> None:
    chance = random.Random(seed)

    def plays(world: World) -> Ended:
        if chance.random() < 0.2:
            world.clock += chance.randint(0, 40) * HOUR  # the host is off for a while
            raise Crash
        if chance.random() < 0.05:
            world.clock += chance.randint(1, 60) * HOUR  # a run that takes days
        return chance.choice(
            [PUSHED, PUSHED, FAILED, REFUSED, BUSY, Ended(2, "configuration: no"), Ended(-9, "killed")]
        )

    def passing(world: World) -> None:
        if chance.random() < 0.0005:
            world.clock += chance.randint(-600, 600) * MINUTE  # somebody sets the clock
        if chance.random() < 0.0005:
            world.clock += chance.randint(0, 100) * HOUR
            raise Crash

    world = World(
        rules=Rules(missed, jitter=1800),
        plays=plays,
        passing=passing,
        clock=datetime.datetime(2026, 1, 1, 12, tzinfo=UTC),
    )
    start, end = world.clock, at("2026-12-31 12:00")
    world.live(end)
    assert world.disk
    accounted(world.journal, berlin(start, world.disk.accounted)[: sum(entry.ticks for entry in world.journal)])
    pending = world.disk.running.ticks if world.disk.running else 0
    assert sum(entry.ticks for entry in world.journal) + pending == len(berlin(start, world.disk.accounted))
    outcomes = {entry.outcome for entry in world.journal}
    assert {"pushed", "refused", "configuration"} <= outcomes
    assert ("missed" in outcomes) == (missed == "skip")
    assert any(entry.ticks > 1 for entry in world.journal) == (missed != "catch-up")


@pytest.mark.parametrize(("day", "expected"), [("2026-03-29", "03:30+0200"), ("2026-10-25", "02:30+0200")])
def test_where_clocks_change_half_past_two_runs_once(day: str, expected: str) -> None:
    noon = datetime.datetime.fromisoformat(day) - 12 * HOUR
    world = World("30 2 * * *", clock=at(str(noon))).live(at(str(noon + DAY)))
    assert [moment.astimezone(BERLIN).strftime("%H:%M%z") for moment in world.tries] == [expected]


@pytest.mark.parametrize("back", [MINUTE, HOUR, 6 * DAY])
def test_a_clock_that_is_set_back_runs_nothing_twice(back: datetime.timedelta) -> None:
    world = World(clock=at("2026-06-01 12:00")).live(at("2026-06-08 03:20"))
    assert len(world.tries) == 7
    world.clock -= back
    world.live(at("2026-06-08 23:00"))
    assert len(world.tries) == 7
    world.live(at("2026-06-09 23:00"))
    assert len(world.tries) == 8


def test_a_clock_that_was_years_ahead_does_not_stop_the_schedule_for_years() -> None:
    world = World(clock=at("2031-06-01 12:00")).live(at("2031-06-02 12:00"))
    world.clock = at("2026-06-01 12:00")
    world.live(at("2026-06-03 12:00"))
    assert world.tries[1:] == [at("2026-06-02 03:00"), at("2026-06-03 03:00")]


@pytest.mark.parametrize(
    ("missed", "expected"),
    [("coalesce", [("pushed", 4)]), ("catch-up", [("pushed", 1)] * 4), ("skip", [("missed", 4)])],
)
def test_ticks_of_a_long_night_are_coalesced_caught_up_or_skipped(missed: str, expected: list) -> None:
    world = World(rules=Rules(missed), clock=at("2026-06-01 12:00")).live(at("2026-06-01 13:00"))
    world.clock = at("2026-06-05 12:00")
    world.live(at("2026-06-05 20:00"))
    assert [(entry.outcome, entry.ticks) for entry in world.journal] == expected
    assert len(world.tries) == sum(outcome == "pushed" for outcome, _ in expected)
    accounted(world.journal, berlin(at("2026-06-01 12:00"), world.clock))


def test_ticks_that_pass_during_a_run_never_overlap_it() -> None:
    world = World("0 * * * *", takes=150 * MINUTE, clock=at("2026-06-01 12:30")).live(at("2026-06-01 23:00"))
    gaps = [later - earlier for earlier, later in zip(world.tries, world.tries[1:], strict=False)]
    assert min(gaps) >= world.takes
    assert [entry.ticks for entry in world.journal] == [1, 2, 3, 2]


def test_a_run_begun_before_an_outage_stands_for_the_ticks_since() -> None:
    def plays(world: World) -> Ended:
        if len(world.tries) == 1:
            world.clock += 3 * DAY
            raise Crash
        return PUSHED

    world = World(plays=plays, clock=at("2026-06-01 12:00")).live(at("2026-06-05 12:00"))
    assert [(entry.tick, entry.ticks) for entry in world.journal] == [(at("2026-06-05 03:00"), 4)]


def test_jitter_is_a_ticks_own_and_within_its_bound() -> None:
    rules = [Rules(jitter=600, name=name) for name in ("one", "other")]
    worlds = [World(rules=each, clock=at("2026-06-01 12:00")).live(at("2026-06-21 12:00")) for each in rules]
    delays = [
        [(moment - entry.tick).total_seconds() for moment, entry in zip(w.tries, w.journal, strict=True)]
        for w in worlds
    ]
    assert all(0 <= delay <= 600 for each in delays for delay in each)
    assert len({round(delay) for each in delays for delay in each}) > 30
    again = World(rules=rules[0], clock=at("2026-06-01 12:00")).live(at("2026-06-21 12:00"))
    assert again.tries == worlds[0].tries


def test_once_runs_now_with_retries_and_stands_for_what_was_missed() -> None:
    world = World(clock=at("2026-06-01 12:00")).live(at("2026-06-01 13:00"))
    world.clock = at("2026-06-04 12:00")
    ends = [BUSY, FAILED, REFUSED]
    world.plays = lambda world: ends.pop(0)
    world.until = at("2027-01-01 00:00")
    entry = world.start().once()
    assert (entry.outcome, entry.exit_code, entry.tries) == ("refused", 3, 2)
    assert world.tries[0] == entry.tick == at("2026-06-04 12:00")
    world.plays = lambda world: PUSHED
    world.live(at("2026-06-05 12:00"))
    assert [each.tick for each in world.journal[1:]] == [at("2026-06-05 03:00")]


def test_another_timetable_begins_now_and_owes_nothing() -> None:
    world = World(clock=at("2026-06-01 12:00")).live(at("2026-06-02 12:00"))
    other = World(
        "*/5 * * * *", takes=0 * MINUTE, clock=world.clock + 10 * HOUR, disk=world.disk, journal=world.journal
    )
    other.live(other.clock + 12 * MINUTE)
    assert [entry.ticks for entry in other.journal[1:]] == [1, 1]
