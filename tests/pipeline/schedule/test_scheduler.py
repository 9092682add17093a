"""The schedule in simulated time: whatever happens to host, clock and runs, each tick is run once or accounted for."""

import datetime
import functools
import random
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.schedule.cron import Timetable
from pipeline.schedule.scheduler import MISSED, News, Rules, Schedule
from pipeline.schedule.state import Ended, Entry, Running, State
from schemas.errors import StoreError

UTC = datetime.UTC
MINUTE, HOUR, DAY = datetime.timedelta(minutes=1), datetime.timedelta(hours=1), datetime.timedelta(days=1)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
PUSHED, FAILED, REFUSED, BUSY = (
    Ended(0, "version 1", new=True),
    Ended(75, "environment: boom"),
    Ended(3, "refused: 0.5"),
    Ended(5, "locked: x"),
)


class Crash(BaseException):
    """The scheduler is killed."""


class Over(BaseException):
    """The simulation is over."""


@dataclass
class World:
    """A host with a clock, a disk that holds the schedule's state, and runs that take time and end as `plays` says."""

    cron: str = "0 3 * * *"
    zone: str = "Europe/Berlin"
    rules: Rules = Rules()
    clock: datetime.datetime = datetime.datetime(2026, 1, 1, 12, tzinfo=UTC)
    plays: Callable[["World"], Ended] = lambda world: PUSHED
    takes: datetime.timedelta = 10 * MINUTE
    until: datetime.datetime = datetime.datetime.max.replace(tzinfo=UTC)
    passing: Callable[["World"], None] = lambda world: None  # what happens while the scheduler sleeps
    news: Callable[["World"], News | None] = lambda world: None
    disk: State | None = None
    journal: list[Entry] = field(default_factory=list)
    tries: list[datetime.datetime] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.after = functools.lru_cache(8)(Timetable.of(self.cron, self.zone).after if self.cron else lambda _: None)

    def start(self) -> Schedule:
        """A scheduler that finds what the last one left on the disk."""
        state = State.begin(self.disk, self.cron, self.zone, self.clock)
        return Schedule(
            self.after, self.rules, state, self.save, self.run, lambda: self.clock, self.sleep, lambda: self.news(self)
        )

    def live(self, until: datetime.datetime) -> "World":
        """Until then, started again after each crash."""
        self.until = until
        while True:
            try:
                self.start().forever()
            except Crash:
                pass
            except Over:
                return self

    def save(self, state: State) -> None:
        before = self.disk.recent if self.disk else ()
        if state.recent != before:
            self.journal.append(state.recent[-1])
        self.disk = State.model_validate_json(state.model_dump_json())
        assert self.disk == state

    def run(self, running: Running) -> Ended:
        if self.clock >= self.until:
            raise Over
        self.tries.append(self.clock)
        self.clock += self.takes
        return self.plays(self)

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 60
        self.clock += datetime.timedelta(seconds=seconds)
        self.passing(self)
        if self.clock >= self.until:
            raise Over


def berlin(start: datetime.datetime, end: datetime.datetime, hour: int = 3) -> list[datetime.datetime]:
    """Each day's tick in (start, end], found without any scheduler's help."""
    days = [start.date() + n * DAY for n in range((end - start).days + 2)]
    found = [datetime.datetime.combine(day, datetime.time(hour), BERLIN).astimezone(UTC) for day in days]
    return [tick for tick in found if start < tick <= end]


def accounted(journal: list[Entry], expected: list[datetime.datetime]) -> None:
    """Every expected tick is in one entry and no other, in order."""
    position = 0
    for entry in journal:
        position += entry.ticks
        assert entry.tick == expected[position - 1]
    assert position == len(expected)


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


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
        (outcome, ended.words, ended.exit_code)
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


def spans(world: World) -> News | None:
    """A span each third day at noon."""
    days = (world.clock - at("2026-01-02 12:00")) // DAY
    return News(f"{days // 3}", f"new span {days // 3}") if days >= 0 else None


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
    early = World(news=lambda world: News("7", "new span 7") if world.clock >= came else None)
    early.live(at("2026-01-03 02:00"))
    assert [(entry.cause, entry.ticks) for entry in early.journal] == [("", 1)]
    assert early.disk
    assert early.disk.last_trigger == "7"


def test_a_run_for_a_span_that_is_cut_off_by_a_crash_is_made_again() -> None:
    def plays(world: World) -> Ended:
        if len(world.tries) < 3:
            raise Crash
        return PUSHED

    world = World(news=lambda world: News("1", "new span 1"), plays=plays).live(at("2026-01-01 14:00"))
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
