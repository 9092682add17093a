"""Ticks in simulated time: each runs once or is accounted for, whatever happens to the host and its clock."""

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
    assert_accounted,
    berlin_time,
    expected_ticks,
)


def test_a_year_without_failures_runs_once_every_night() -> None:
    world = World()
    start, end = world.clock, berlin_time("2027-01-01 12:00")
    world.run_until(end)
    expected = expected_ticks(start, end)
    assert len(expected) == 365
    assert [entry.tick for entry in world.journal] == world.tries == expected
    assert {(entry.outcome, entry.ticks, entry.tries) for entry in world.journal} == {("pushed", 1, 1)}
    assert {tick.astimezone(BERLIN).hour for tick in expected} == {3}
    assert len({tick.hour for tick in expected}) == 2  # in UTC: with and without summer time


@pytest.mark.slow
@pytest.mark.parametrize("missed", MISSED)
@pytest.mark.parametrize("seed", range(2))
def test_in_a_year_of_failures_every_tick_runs_once_or_is_accounted_for(missed: str, seed: int) -> None:
    rng = random.Random(seed)

    def run_result(world: World) -> Ended:
        if rng.random() < 0.2:
            world.clock += rng.randint(0, 40) * HOUR  # the host is off for a while
            raise Crash
        if rng.random() < 0.05:
            world.clock += rng.randint(1, 60) * HOUR  # a run that takes days
        return rng.choice([PUSHED, PUSHED, FAILED, REFUSED, BUSY, Ended(2, "configuration: no"), Ended(-9, "killed")])

    def while_sleeping(world: World) -> None:
        if rng.random() < 0.0005:
            world.clock += rng.randint(-600, 600) * MINUTE  # the clock is set
        if rng.random() < 0.0005:
            world.clock += rng.randint(0, 100) * HOUR
            raise Crash

    world = World(
        rules=Rules(missed, jitter=1800),
        run_result=run_result,
        while_sleeping=while_sleeping,
        clock=datetime.datetime(2026, 1, 1, 12, tzinfo=UTC),
    )
    start, end = world.clock, berlin_time("2026-12-31 12:00")
    world.run_until(end)
    assert world.disk
    assert_accounted(
        world.journal, expected_ticks(start, world.disk.accounted)[: sum(entry.ticks for entry in world.journal)]
    )
    pending = world.disk.running.ticks if world.disk.running else 0
    assert sum(entry.ticks for entry in world.journal) + pending == len(expected_ticks(start, world.disk.accounted))
    outcomes = {entry.outcome for entry in world.journal}
    assert {"pushed", "refused", "configuration"} <= outcomes
    assert ("missed" in outcomes) == (missed == "skip")
    assert any(entry.ticks > 1 for entry in world.journal) == (missed != "catch-up")


@pytest.mark.parametrize(("day", "expected"), [("2026-03-29", "03:30+0200"), ("2026-10-25", "02:30+0200")])
def test_a_tick_at_half_past_two_runs_once_on_days_with_a_clock_change(day: str, expected: str) -> None:
    noon = datetime.datetime.fromisoformat(day) - 12 * HOUR
    world = World("30 2 * * *", clock=berlin_time(str(noon))).run_until(berlin_time(str(noon + DAY)))
    assert [moment.astimezone(BERLIN).strftime("%H:%M%z") for moment in world.tries] == [expected]


@pytest.mark.parametrize("offset", [MINUTE, HOUR, 6 * DAY])
def test_a_clock_set_back_runs_no_tick_twice(offset: datetime.timedelta) -> None:
    world = World(clock=berlin_time("2026-06-01 12:00")).run_until(berlin_time("2026-06-08 03:20"))
    assert len(world.tries) == 7
    world.clock -= offset
    world.run_until(berlin_time("2026-06-08 23:00"))
    assert len(world.tries) == 7
    world.run_until(berlin_time("2026-06-09 23:00"))
    assert len(world.tries) == 8


def test_a_clock_that_was_years_ahead_does_not_stop_the_schedule() -> None:
    world = World(clock=berlin_time("2031-06-01 12:00")).run_until(berlin_time("2031-06-02 12:00"))
    world.clock = berlin_time("2026-06-01 12:00")
    world.run_until(berlin_time("2026-06-03 12:00"))
    assert world.tries[1:] == [berlin_time("2026-06-02 03:00"), berlin_time("2026-06-03 03:00")]


@pytest.mark.parametrize(
    ("missed", "expected"),
    [("coalesce", [("pushed", 4)]), ("catch-up", [("pushed", 1)] * 4), ("skip", [("missed", 4)])],
)
def test_ticks_missed_during_an_outage_are_coalesced_caught_up_or_skipped(missed: str, expected: list) -> None:
    world = World(rules=Rules(missed), clock=berlin_time("2026-06-01 12:00")).run_until(berlin_time("2026-06-01 13:00"))
    world.clock = berlin_time("2026-06-05 12:00")
    world.run_until(berlin_time("2026-06-05 20:00"))
    assert [(entry.outcome, entry.ticks) for entry in world.journal] == expected
    assert len(world.tries) == sum(outcome == "pushed" for outcome, _ in expected)
    assert_accounted(world.journal, expected_ticks(berlin_time("2026-06-01 12:00"), world.clock))


def test_ticks_during_a_run_do_not_overlap_it() -> None:
    world = World("0 * * * *", run_duration=150 * MINUTE, clock=berlin_time("2026-06-01 12:30")).run_until(
        berlin_time("2026-06-01 23:00")
    )
    gaps = [later - earlier for earlier, later in zip(world.tries, world.tries[1:], strict=False)]
    assert min(gaps) >= world.run_duration
    assert [entry.ticks for entry in world.journal] == [1, 2, 3, 2]


def test_a_run_started_before_an_outage_covers_the_ticks_since() -> None:
    def run_result(world: World) -> Ended:
        if len(world.tries) == 1:
            world.clock += 3 * DAY
            raise Crash
        return PUSHED

    world = World(run_result=run_result, clock=berlin_time("2026-06-01 12:00")).run_until(
        berlin_time("2026-06-05 12:00")
    )
    assert [(entry.tick, entry.ticks) for entry in world.journal] == [(berlin_time("2026-06-05 03:00"), 4)]


def test_jitter_is_deterministic_per_tick_and_bounded() -> None:
    rules = [Rules(jitter=600, name=name) for name in ("one", "other")]
    worlds = [
        World(rules=rule, clock=berlin_time("2026-06-01 12:00")).run_until(berlin_time("2026-06-21 12:00"))
        for rule in rules
    ]
    delays = [
        [(moment - entry.tick).total_seconds() for moment, entry in zip(w.tries, w.journal, strict=True)]
        for w in worlds
    ]
    assert all(0 <= delay <= 600 for rule in delays for delay in rule)
    assert len({round(delay) for rule in delays for delay in rule}) > 30
    repeated = World(rules=rules[0], clock=berlin_time("2026-06-01 12:00")).run_until(berlin_time("2026-06-21 12:00"))
    assert repeated.tries == worlds[0].tries


def test_once_runs_now_with_retries_and_covers_missed_ticks() -> None:
    world = World(clock=berlin_time("2026-06-01 12:00")).run_until(berlin_time("2026-06-01 13:00"))
    world.clock = berlin_time("2026-06-04 12:00")
    ends = [BUSY, FAILED, REFUSED]
    world.run_result = lambda world: ends.pop(0)
    world.until = berlin_time("2027-01-01 00:00")
    entry = world.start().once()
    assert (entry.outcome, entry.exit_code, entry.tries) == ("refused", 3, 2)
    assert world.tries[0] == entry.tick == berlin_time("2026-06-04 12:00")
    world.run_result = lambda world: PUSHED
    world.run_until(berlin_time("2026-06-05 12:00"))
    assert [each.tick for each in world.journal[1:]] == [berlin_time("2026-06-05 03:00")]


def test_a_changed_timetable_starts_now_without_missed_ticks() -> None:
    world = World(clock=berlin_time("2026-06-01 12:00")).run_until(berlin_time("2026-06-02 12:00"))
    changed = World(
        "*/5 * * * *", run_duration=0 * MINUTE, clock=world.clock + 10 * HOUR, disk=world.disk, journal=world.journal
    )
    changed.run_until(changed.clock + 12 * MINUTE)
    assert [entry.ticks for entry in changed.journal[1:]] == [1, 1]
