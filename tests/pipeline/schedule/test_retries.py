"""Retries in simulated time: temporary errors, held locks, crashes and requests to stop."""

import pytest

from pipeline.schedule.scheduler import Rules
from pipeline.schedule.state import Ended
from tests.pipeline.schedule.simulation import BUSY, FAILED, MINUTE, PUSHED, REFUSED, Crash, World, berlin_time


@pytest.mark.parametrize("first", [FAILED, Ended(-9, "killed by SIGKILL"), Ended(2, "store: cannot write")])
def test_a_temporary_error_is_retried_with_doubling_pauses(first: Ended) -> None:
    ends = [first, first, first, PUSHED]
    world = World(
        run_result=lambda world: ends.pop(0), run_duration=0 * MINUTE, clock=berlin_time("2026-06-01 12:00")
    ).run_until(berlin_time("2026-06-02 12:00"))
    assert [moment - world.tries[0] for moment in world.tries] == [0 * MINUTE, 1 * MINUTE, 3 * MINUTE, 7 * MINUTE]
    assert [(entry.outcome, entry.tries) for entry in world.journal] == [("pushed", 4)]


def test_after_the_last_retry_the_failure_is_recorded_and_the_next_tick_runs() -> None:
    world = World(
        rules=Rules(retries=1), run_result=lambda world: FAILED, clock=berlin_time("2026-06-01 12:00")
    ).run_until(berlin_time("2026-06-03 12:00"))
    assert [(entry.outcome, entry.tries, entry.why) for entry in world.journal] == [
        ("failed", 2, "environment: boom")
    ] * 2


@pytest.mark.parametrize(
    ("ended", "outcome"),
    [
        (REFUSED, "refused"),
        (Ended(1, "error: ZeroDivisionError: a defect"), "failed"),
        (Ended(4, "data: torn"), "refused"),
        (Ended(2, "configuration: no such setting"), "configuration"),
        (Ended(2, "wiring: no"), "configuration"),
        (Ended(130, "interrupted"), "interrupted"),
        (Ended(130, "longer than 5 minutes", timed_out=True), "time limit"),
        (Ended(-9, "longer than 5 minutes", timed_out=True), "time limit"),
        (Ended(0, "nothing changed"), "unchanged"),
    ],
)
def test_a_permanent_outcome_is_not_retried_and_the_schedule_continues(ended: Ended, outcome: str) -> None:
    world = World(run_result=lambda world: ended, clock=berlin_time("2026-06-01 12:00")).run_until(
        berlin_time("2026-06-03 12:00")
    )
    assert [(entry.outcome, entry.why, entry.exit_code) for entry in world.journal] == [
        (outcome, ended.message, ended.exit_code)
    ] * 2
    assert len(world.tries) == 2


def test_a_held_lock_is_waited_for_without_counting_attempts() -> None:
    release = berlin_time("2026-06-02 09:00")
    world = World(
        run_result=lambda w: PUSHED if w.clock > release else BUSY,
        run_duration=0 * MINUTE,
        clock=berlin_time("2026-06-01 12:00"),
    )
    world.run_until(berlin_time("2026-06-02 05:00"))
    assert world.disk
    assert world.disk.why == "busy: locked: x"
    assert world.disk.next
    assert world.clock <= world.disk.next <= world.clock + 15 * MINUTE
    world.run_until(berlin_time("2026-06-02 12:00"))
    assert [(entry.outcome, entry.tries) for entry in world.journal] == [("pushed", 1)]
    assert world.tries[-1] - release <= 15 * MINUTE


def test_a_run_interrupted_by_a_crash_is_retried_at_the_next_start() -> None:
    def run_result(world: World) -> Ended:
        if len(world.tries) == 1:
            raise Crash
        return PUSHED

    world = World(run_result=run_result, clock=berlin_time("2026-06-01 12:00")).run_until(
        berlin_time("2026-06-02 12:00")
    )
    assert [moment - world.tries[0] for moment in world.tries] == [0 * MINUTE, world.run_duration]
    assert [(entry.outcome, entry.ticks, entry.tries) for entry in world.journal] == [("pushed", 1, 2)]


def test_a_run_that_crashes_the_scheduler_repeatedly_is_recorded_as_failed() -> None:
    def run_result(world: World) -> Ended:
        raise Crash

    world = World(rules=Rules(retries=2), run_result=run_result, clock=berlin_time("2026-06-01 12:00")).run_until(
        berlin_time("2026-06-02 12:00")
    )
    assert [(entry.outcome, entry.tries, entry.why) for entry in world.journal] == [
        ("failed", 3, "interrupted 3 times during the run")
    ]


def test_a_stopped_run_continues_at_the_next_start_without_counting_an_attempt() -> None:
    def run_result(world: World) -> Ended:
        if len(world.tries) <= 5:
            raise KeyboardInterrupt
        return PUSHED

    world = World(rules=Rules(retries=0), run_result=run_result, clock=berlin_time("2026-06-01 12:00"))
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            world.run_until(berlin_time("2026-06-02 12:00"))
        assert world.disk
        assert world.disk.running
        assert "the next start continues" in world.disk.why
    world.run_until(berlin_time("2026-06-02 12:00"))
    assert [(entry.outcome, entry.ticks, entry.tries) for entry in world.journal] == [("pushed", 1, 1)]
