"""Retries in simulated time: temporary errors, held locks, crashes and requests to stop."""

import pytest

from pipeline.schedule.scheduler import Rules
from pipeline.schedule.state import Ended
from tests.pipeline.schedule.simulation import BUSY, FAILED, MINUTE, PUSHED, REFUSED, Crash, World, at


@pytest.mark.parametrize("first", [FAILED, Ended(-9, "killed by SIGKILL"), Ended(2, "store: cannot write")])
def test_an_error_that_may_pass_is_tried_again_after_pauses_that_double(first: Ended) -> None:
    ends = [first, first, first, PUSHED]
    world = World(plays=lambda world: ends.pop(0), takes=0 * MINUTE, clock=at("2026-06-01 12:00")).live(
        at("2026-06-02 12:00")
    )
    assert [moment - world.tries[0] for moment in world.tries] == [0 * MINUTE, 1 * MINUTE, 3 * MINUTE, 7 * MINUTE]
    assert [(entry.outcome, entry.tries) for entry in world.journal] == [("pushed", 4)]


def test_after_the_last_retry_the_failure_is_accounted_for_and_the_next_night_runs() -> None:
    world = World(rules=Rules(retries=1), plays=lambda world: FAILED, clock=at("2026-06-01 12:00")).live(
        at("2026-06-03 12:00")
    )
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
def test_what_trying_again_would_not_change_is_not_tried_again_and_the_schedule_goes_on(
    ended: Ended, outcome: str
) -> None:
    world = World(plays=lambda world: ended, clock=at("2026-06-01 12:00")).live(at("2026-06-03 12:00"))
    assert [(entry.outcome, entry.why, entry.exit_code) for entry in world.journal] == [
        (outcome, ended.message, ended.exit_code)
    ] * 2
    assert len(world.tries) == 2


def test_a_lock_that_is_held_is_waited_for_however_long_without_using_up_tries() -> None:
    free = at("2026-06-02 09:00")
    world = World(plays=lambda w: PUSHED if w.clock > free else BUSY, takes=0 * MINUTE, clock=at("2026-06-01 12:00"))
    world.live(at("2026-06-02 05:00"))
    assert world.disk
    assert world.disk.why == "busy: locked: x"
    assert world.disk.next
    assert world.clock <= world.disk.next <= world.clock + 15 * MINUTE
    world.live(at("2026-06-02 12:00"))
    assert [(entry.outcome, entry.tries) for entry in world.journal] == [("pushed", 1)]
    assert world.tries[-1] - free <= 15 * MINUTE


def test_a_run_cut_off_by_a_crash_is_tried_again_at_once_by_the_next_start() -> None:
    def plays(world: World) -> Ended:
        if len(world.tries) == 1:
            raise Crash
        return PUSHED

    world = World(plays=plays, clock=at("2026-06-01 12:00")).live(at("2026-06-02 12:00"))
    assert [moment - world.tries[0] for moment in world.tries] == [0 * MINUTE, world.takes]
    assert [(entry.outcome, entry.ticks, entry.tries) for entry in world.journal] == [("pushed", 1, 2)]


def test_a_run_that_takes_the_scheduler_down_with_it_is_given_up_in_the_end() -> None:
    def plays(world: World) -> Ended:
        raise Crash

    world = World(rules=Rules(retries=2), plays=plays, clock=at("2026-06-01 12:00")).live(at("2026-06-02 12:00"))
    assert [(entry.outcome, entry.tries, entry.why) for entry in world.journal] == [
        ("failed", 3, "interrupted 3 times during the run")
    ]


def test_a_run_that_was_asked_to_stop_goes_on_at_the_next_start_and_that_costs_no_try() -> None:
    def plays(world: World) -> Ended:
        if len(world.tries) <= 5:
            raise KeyboardInterrupt
        return PUSHED

    world = World(rules=Rules(retries=0), plays=plays, clock=at("2026-06-01 12:00"))
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            world.live(at("2026-06-02 12:00"))
        assert world.disk
        assert world.disk.running
        assert "the next start continues" in world.disk.why
    world.live(at("2026-06-02 12:00"))
    assert [(entry.outcome, entry.ticks, entry.tries) for entry in world.journal] == [("pushed", 1, 1)]
