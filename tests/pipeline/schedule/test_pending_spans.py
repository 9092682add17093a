"""A span whose run did not succeed stays pending and is retried after a long pause; in simulated time."""

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
    berlin_time,
    push_at_third_attempt,
    span_every_third_day,
)

TIME_LIMIT = Ended(-15, "longer than 5 minutes: the next run continues from there", timed_out=True)
CONFIGURATION, INTERRUPTED = Ended(2, "configuration: no"), Ended(130, "interrupted: by hand")
START = datetime.datetime(2026, 1, 1, 12, tzinfo=UTC)


def span(world: World) -> NewData:
    return NewData("7", "new span 7")


def span_scheduler(*ends: Ended, retries: int = 0, **options: object) -> World:
    """A scheduler without a timetable; every later run ends with the last of `ends`."""
    remaining = list(ends)
    run_result = lambda world: remaining.pop(0) if len(remaining) > 1 else remaining[0]  # noqa: E731
    return World(
        cron="", rules=Rules(retries=retries), new_data=span, run_result=run_result, run_duration=0 * MINUTE, **options
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [FAILED, TIME_LIMIT, CONFIGURATION, INTERRUPTED], ids=lambda end: end.outcome)
def test_a_span_is_retried_every_hour_until_a_run_succeeds(end: Ended) -> None:
    world = span_scheduler(end, end, PUSHED).run_until(START + 12 * HOUR)
    assert [moment - START for moment in world.tries] == [0 * HOUR, 1 * HOUR, 2 * HOUR]
    assert [(entry.outcome, entry.cause) for entry in world.journal] == [
        *[(end.outcome, "new span 7")] * 2,
        ("pushed", "new span 7"),
    ]
    assert world.disk
    assert (world.disk.pending, world.disk.why) == (None, "waiting for a new span")


@pytest.mark.parametrize("end", [PUSHED, REFUSED, Ended(4, "data: torn"), Ended(0, "run 1 waits", special="waiting")])
def test_a_span_with_a_verdict_is_not_retried(end: Ended) -> None:
    assert len(span_scheduler(end).run_until(START + 12 * HOUR).tries) == 1


def test_after_four_failures_the_span_stays_pending_and_the_pause_is_reported() -> None:
    world = span_scheduler(*[FAILED] * 4, PUSHED, retries=3).run_until(START + 30 * MINUTE)
    assert [moment - START for moment in world.tries] == [0 * MINUTE, 1 * MINUTE, 3 * MINUTE, 7 * MINUTE]
    assert world.disk
    assert world.disk.why == "new span 7 was not used yet; the next try is in an hour"
    assert world.disk.next == START + 67 * MINUTE
    world.run_until(START + 12 * HOUR)
    assert [(entry.outcome, entry.tries) for entry in world.journal] == [("failed", 4), ("pushed", 1)]


def test_a_restart_retries_at_once() -> None:
    world = span_scheduler(CONFIGURATION, PUSHED).run_until(START + 10 * MINUTE)
    world.run_until(START + 11 * MINUTE)
    assert [entry.outcome for entry in world.journal] == ["configuration", "pushed"]


def test_a_newer_span_does_not_wait_for_an_older_one() -> None:
    world = span_scheduler(FAILED, PUSHED)
    arrival = START + 5 * MINUTE
    world.new_data = lambda world: NewData("8", "new span 8") if world.clock >= arrival else span(world)
    world.run_until(START + 12 * HOUR)
    assert [(entry.outcome, entry.cause) for entry in world.journal] == [
        ("failed", "new span 7"),
        ("pushed", "new span 8"),
    ]
    assert world.tries[1] - arrival < MINUTE


def test_after_a_failed_scheduled_run_only_new_spans_stay_pending() -> None:
    ends = [PUSHED, FAILED, FAILED, PUSHED]
    arrival = berlin_time("2026-01-03 02:59:30")

    def new_data(world: World) -> NewData:
        return NewData("2", "new span 2") if world.clock >= arrival else NewData("1", "new span 1")

    world = World(
        rules=Rules(retries=0), new_data=new_data, run_result=lambda world: ends.pop(0), run_duration=0 * MINUTE
    ).run_until(berlin_time("2026-01-03 12:00"))
    assert [(entry.outcome, entry.cause) for entry in world.journal] == [
        ("pushed", "new span 1"),
        ("failed", ""),  # of 2 January: no span is pending
        ("failed", ""),
        ("pushed", "new span 2"),
    ]
    assert world.tries[1:] == [
        berlin_time("2026-01-02 03:00"),
        berlin_time("2026-01-03 03:00"),
        berlin_time("2026-01-03 04:00"),
    ]


def test_a_tick_during_the_pause_runs_for_the_pending_span() -> None:
    ends, output = [FAILED, PUSHED], []

    def while_sleeping(world: World) -> None:
        assert world.disk
        output.append((world.disk.next, world.disk.why))

    world = World(
        clock=berlin_time("2026-01-02 02:30"),
        rules=Rules(retries=0),
        new_data=span,
        run_result=lambda world: ends.pop(0),
        while_sleeping=while_sleeping,
    )
    world.run_until(berlin_time("2026-01-02 12:00"))
    assert world.tries == [berlin_time("2026-01-02 02:30"), berlin_time("2026-01-02 03:00")]
    assert output[0] == (berlin_time("2026-01-02 03:00"), "the next tick of 0 3 * * * (Europe/Berlin)")


def test_a_span_stays_pending_when_its_run_crashes_repeatedly() -> None:
    world = span_scheduler(PUSHED, retries=1)
    world.run_result = push_at_third_attempt
    world.run_until(START + 12 * HOUR)
    assert [(entry.outcome, entry.cause) for entry in world.journal] == [
        ("failed", "new span 7"),
        ("pushed", "new span 7"),
    ]


def test_a_clock_set_back_does_not_extend_the_pause() -> None:
    world = span_scheduler(FAILED, PUSHED).run_until(START + MINUTE)
    assert world.disk
    schedule = world.start()
    schedule.state = world.disk
    world.clock = START - 3 * DAY
    schedule.step()
    assert world.tries[1:] == [START - 3 * DAY]


def test_without_spans_no_retry_is_scheduled() -> None:
    world = span_scheduler(FAILED).run_until(START + MINUTE)
    world.new_data = lambda world: None
    world.run_until(START + 12 * HOUR)
    assert len(world.tries) == 1
    assert world.disk
    assert (world.disk.next, world.disk.why) == (None, "waiting for a new span")


@pytest.mark.parametrize("missed", MISSED)
def test_after_three_months_of_failures_the_last_run_succeeds(missed: str) -> None:
    rng = random.Random(5)

    def run_result(world: World) -> Ended:
        if rng.random() < 0.1:
            world.clock += rng.randint(0, 20) * HOUR
            raise Crash
        return rng.choice([PUSHED, FAILED, FAILED, BUSY, TIME_LIMIT, CONFIGURATION, INTERRUPTED])

    world = World(
        cron="", rules=Rules(missed, retries=1), run_result=run_result, new_data=span_every_third_day
    ).run_until(berlin_time("2026-04-01 12:30"))
    assert world.disk
    new_data = span_every_third_day(world)
    assert new_data
    assert (world.disk.last_trigger, world.disk.pending, world.journal[-1].outcome) == (new_data.token, None, "pushed")
    assert {"failed", "time limit", "configuration", "interrupted"} <= {entry.outcome for entry in world.journal}


@pytest.mark.parametrize("jitter", [float("inf"), float("nan"), 1e300, 86_401])
def test_a_jitter_of_more_than_a_day_is_refused(jitter: float) -> None:
    with pytest.raises(ConfigurationError) as error:
        Rules(jitter=jitter)
    assert error.value.cause == f"--jitter {jitter:g} is not between 0 and 86400"
