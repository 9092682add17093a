"""Runs triggered by a new span, in addition to those of the timetable; in simulated time."""

import random

import pytest

from pipeline.schedule.scheduler import MISSED, NewData, Rules
from pipeline.schedule.state import Ended
from tests.pipeline.schedule.simulation import (
    BUSY,
    DAY,
    FAILED,
    HOUR,
    PUSHED,
    REFUSED,
    Crash,
    World,
    assert_accounted,
    berlin_time,
    expected_ticks,
    push_at_third_attempt,
    span_every_third_day,
)


def test_a_new_span_triggers_a_run_at_once_and_the_timetable_is_unchanged() -> None:
    world = World(new_data=span_every_third_day)
    start, end = world.clock, berlin_time("2026-03-01 12:30")
    world.run_until(end)
    triggered = [entry for entry in world.journal if entry.cause]
    assert [(entry.cause, entry.ticks, entry.outcome) for entry in triggered] == [
        (f"new span {i}", 0, "pushed") for i in range(20)
    ]
    assert all(
        berlin_time("2026-01-02 12:00") + 3 * i * DAY <= entry.tick <= berlin_time("2026-01-02 12:01") + 3 * i * DAY
        for i, entry in enumerate(triggered)
    )
    assert [entry.tick for entry in world.journal if not entry.cause] == expected_ticks(start, end)


def test_a_span_before_a_scheduled_run_triggers_no_second_run() -> None:
    arrival = berlin_time("2026-01-02 02:59:30")
    world = World(new_data=lambda world: NewData("7", "new span 7") if world.clock >= arrival else None)
    world.run_until(berlin_time("2026-01-03 02:00"))
    assert [(entry.cause, entry.ticks) for entry in world.journal] == [("", 1)]
    assert world.disk
    assert world.disk.last_trigger == "7"


def test_a_triggered_run_interrupted_by_a_crash_is_repeated() -> None:
    world = World(new_data=lambda world: NewData("1", "new span 1"), run_result=push_at_third_attempt)
    world.run_until(berlin_time("2026-01-01 14:00"))
    assert [(entry.cause, entry.tries, entry.outcome) for entry in world.journal] == [("new span 1", 3, "pushed")]


@pytest.mark.parametrize("missed", MISSED)
def test_no_tick_and_no_span_is_lost_in_three_months_of_failures(missed: str) -> None:
    rng = random.Random(3)

    def run_result(world: World) -> Ended:
        if rng.random() < 0.2:
            world.clock += rng.randint(0, 20) * HOUR
            raise Crash
        return rng.choice([PUSHED, PUSHED, FAILED, REFUSED, BUSY])

    world = World(rules=Rules(missed, jitter=1800), run_result=run_result, new_data=span_every_third_day)
    start, end = world.clock, berlin_time("2026-04-01 12:30")
    world.run_until(end)
    assert world.disk
    nights = [entry for entry in world.journal if entry.ticks]
    assert_accounted(nights, expected_ticks(start, world.disk.accounted)[: sum(entry.ticks for entry in nights)])
    new_data = span_every_third_day(world)
    assert new_data
    assert world.disk.last_trigger == new_data.token
