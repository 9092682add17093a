"""Runs that are triggered by a new span, beside those of the timetable; in simulated time."""

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
    accounted,
    at,
    berlin,
    pushed_at_the_third_try,
    spans,
)


def test_a_new_span_is_run_for_at_once_and_the_nights_are_as_they_were() -> None:
    world = World(news=spans)
    start, end = world.clock, at("2026-03-01 12:30")
    world.live(end)
    called = [entry for entry in world.journal if entry.cause]
    assert [(entry.cause, entry.ticks, entry.outcome) for entry in called] == [
        (f"new span {i}", 0, "pushed") for i in range(20)
    ]
    assert all(
        at("2026-01-02 12:00") + 3 * i * DAY <= entry.tick <= at("2026-01-02 12:01") + 3 * i * DAY
        for i, entry in enumerate(called)
    )
    assert [entry.tick for entry in world.journal if not entry.cause] == berlin(start, end)


def test_a_run_of_the_night_learns_of_a_span_that_came_before_it_and_none_follows() -> None:
    came = at("2026-01-02 02:59:30")
    early = World(news=lambda world: NewData("7", "new span 7") if world.clock >= came else None)
    early.live(at("2026-01-03 02:00"))
    assert [(entry.cause, entry.ticks) for entry in early.journal] == [("", 1)]
    assert early.disk
    assert early.disk.last_trigger == "7"


def test_a_run_for_a_span_that_is_cut_off_by_a_crash_is_made_again() -> None:
    world = World(news=lambda world: NewData("1", "new span 1"), plays=pushed_at_the_third_try)
    world.live(at("2026-01-01 14:00"))
    assert [(entry.cause, entry.tries, entry.outcome) for entry in world.journal] == [("new span 1", 3, "pushed")]


@pytest.mark.parametrize("missed", MISSED)
def test_news_lose_no_tick_and_no_span_in_a_bad_quarter(missed: str) -> None:
    chance = random.Random(3)

    def plays(world: World) -> Ended:
        if chance.random() < 0.2:
            world.clock += chance.randint(0, 20) * HOUR
            raise Crash
        return chance.choice([PUSHED, PUSHED, FAILED, REFUSED, BUSY])

    world = World(rules=Rules(missed, jitter=1800), plays=plays, news=spans)
    start, end = world.clock, at("2026-04-01 12:30")
    world.live(end)
    assert world.disk
    nights = [entry for entry in world.journal if entry.ticks]
    accounted(nights, berlin(start, world.disk.accounted)[: sum(entry.ticks for entry in nights)])
    news = spans(world)
    assert news
    assert world.disk.last_trigger == news.token
