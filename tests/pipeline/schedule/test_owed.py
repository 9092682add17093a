"""Spans whose run came to no good end: they are owed, and tried again after a long pause; in simulated time."""

import datetime
import random

import pytest

from pipeline.schedule.scheduler import MISSED, NewData, Rules
from pipeline.schedule.state import Ended
from schemas.errors import ConfigurationError
from tests.pipeline.schedule.simulation import (
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
    at,
    pushed_at_the_third_try,
    spans,
)

TIME_LIMIT = Ended(-15, "longer than 5 minutes: the next run continues from there", timed_out=True)
CONFIGURATION, INTERRUPTED = Ended(2, "configuration: no"), Ended(130, "interrupted: by hand")
START = datetime.datetime(2026, 1, 1, 12, tzinfo=UTC)


def span(world: World) -> NewData:
    return NewData("7", "new span 7")


def watcher(*ends: Ended, retries: int = 0, **more: object) -> World:
    """A scheduler without a timetable; the last of `ends` is how every later run ends."""
    left = list(ends)
    plays = lambda world: left.pop(0) if len(left) > 1 else left[0]  # noqa: E731
    return World(cron="", rules=Rules(retries=retries), news=span, plays=plays, takes=0 * MINUTE, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [FAILED, TIME_LIMIT, CONFIGURATION, INTERRUPTED], ids=lambda end: end.outcome)
def test_a_span_whose_run_came_to_no_good_end_is_tried_again_each_hour_until_one_does(end: Ended) -> None:
    world = watcher(end, end, PUSHED).live(START + 12 * HOUR)
    assert [moment - START for moment in world.tries] == [0 * HOUR, 1 * HOUR, 2 * HOUR]
    assert [(entry.outcome, entry.cause) for entry in world.journal] == [
        *[(end.outcome, "new span 7")] * 2,
        ("pushed", "new span 7"),
    ]
    assert world.disk
    assert (world.disk.pending, world.disk.why) == (None, "waiting for a new span")


@pytest.mark.parametrize("end", [PUSHED, REFUSED, Ended(4, "data: torn"), Ended(0, "run 1 waits", special="waiting")])
def test_what_was_judged_is_not_tried_again(end: Ended) -> None:
    assert len(watcher(end).live(START + 12 * HOUR).tries) == 1


def test_four_failures_in_a_row_lose_no_span_and_the_pause_is_said() -> None:
    world = watcher(*[FAILED] * 4, PUSHED, retries=3).live(START + 30 * MINUTE)
    assert [moment - START for moment in world.tries] == [0 * MINUTE, 1 * MINUTE, 3 * MINUTE, 7 * MINUTE]
    assert world.disk
    assert world.disk.why == "new span 7 was not used yet; the next try is in an hour"
    assert world.disk.next == START + 67 * MINUTE
    world.live(START + 12 * HOUR)
    assert [(entry.outcome, entry.tries) for entry in world.journal] == [("failed", 4), ("pushed", 1)]


def test_who_mended_something_and_starts_again_waits_for_nothing() -> None:
    world = watcher(CONFIGURATION, PUSHED).live(START + 10 * MINUTE)
    world.live(START + 11 * MINUTE)
    assert [entry.outcome for entry in world.journal] == ["configuration", "pushed"]


def test_a_newer_span_is_not_kept_waiting_by_an_older_one() -> None:
    world = watcher(FAILED, PUSHED)
    came = START + 5 * MINUTE
    world.news = lambda world: NewData("8", "new span 8") if world.clock >= came else span(world)
    world.live(START + 12 * HOUR)
    assert [(entry.outcome, entry.cause) for entry in world.journal] == [
        ("failed", "new span 7"),
        ("pushed", "new span 8"),
    ]
    assert world.tries[1] - came < MINUTE


def test_a_night_that_fails_owes_what_came_since_the_last_and_nothing_that_was_learnt_before() -> None:
    ends = [PUSHED, FAILED, FAILED, PUSHED]
    came = at("2026-01-03 02:59:30")

    def news(world: World) -> NewData:
        return NewData("2", "new span 2") if world.clock >= came else NewData("1", "new span 1")

    world = World(rules=Rules(retries=0), news=news, plays=lambda world: ends.pop(0), takes=0 * MINUTE).live(
        at("2026-01-03 12:00")
    )
    assert [(entry.outcome, entry.cause) for entry in world.journal] == [
        ("pushed", "new span 1"),
        ("failed", ""),  # of 2 January: no span waits for it
        ("failed", ""),
        ("pushed", "new span 2"),
    ]
    assert world.tries[1:] == [at("2026-01-02 03:00"), at("2026-01-03 03:00"), at("2026-01-03 04:00")]


def test_a_night_within_the_pause_is_kept_and_pays_what_is_owed() -> None:
    ends, said = [FAILED, PUSHED], []

    def passing(world: World) -> None:
        assert world.disk
        said.append((world.disk.next, world.disk.why))

    world = World(
        clock=at("2026-01-02 02:30"),
        rules=Rules(retries=0),
        news=span,
        plays=lambda world: ends.pop(0),
        passing=passing,
    )
    world.live(at("2026-01-02 12:00"))
    assert world.tries == [at("2026-01-02 02:30"), at("2026-01-02 03:00")]
    assert said[0] == (at("2026-01-02 03:00"), "the next tick of 0 3 * * * (Europe/Berlin)")


def test_a_run_that_is_cut_off_again_and_again_leaves_its_span_owed() -> None:
    world = watcher(PUSHED, retries=1)
    world.plays = pushed_at_the_third_try
    world.live(START + 12 * HOUR)
    assert [(entry.outcome, entry.cause) for entry in world.journal] == [
        ("failed", "new span 7"),
        ("pushed", "new span 7"),
    ]


def test_a_clock_that_is_set_back_does_not_make_the_pause_longer() -> None:
    world = watcher(FAILED, PUSHED).live(START + MINUTE)
    assert world.disk
    schedule = world.start()
    schedule.state = world.disk
    world.clock = START - 3 * DAY
    schedule.step()
    assert world.tries[1:] == [START - 3 * DAY]


def test_where_spans_are_away_or_not_watched_any_more_nothing_is_promised() -> None:
    world = watcher(FAILED).live(START + MINUTE)
    world.news = lambda world: None
    world.live(START + 12 * HOUR)
    assert len(world.tries) == 1
    assert world.disk
    assert (world.disk.next, world.disk.why) == (None, "waiting for a new span")


@pytest.mark.parametrize("missed", MISSED)
def test_in_a_bad_quarter_the_run_that_ends_well_comes_last(missed: str) -> None:
    chance = random.Random(5)

    def plays(world: World) -> Ended:
        if chance.random() < 0.1:
            world.clock += chance.randint(0, 20) * HOUR
            raise Crash
        return chance.choice([PUSHED, FAILED, FAILED, BUSY, TIME_LIMIT, CONFIGURATION, INTERRUPTED])

    world = World(cron="", rules=Rules(missed, retries=1), plays=plays, news=spans).live(at("2026-04-01 12:30"))
    assert world.disk
    news = spans(world)
    assert news
    assert (world.disk.last_trigger, world.disk.pending, world.journal[-1].outcome) == (news.token, None, "pushed")
    assert {"failed", "time limit", "configuration", "interrupted"} <= {entry.outcome for entry in world.journal}


@pytest.mark.parametrize("jitter", [float("inf"), float("nan"), 1e300, 86_401])
def test_a_jitter_of_more_than_a_day_is_refused_in_words(jitter: float) -> None:
    with pytest.raises(ConfigurationError) as error:
        Rules(jitter=jitter)
    assert error.value.cause == f"--jitter {jitter:g} is not between 0 and 86400"
