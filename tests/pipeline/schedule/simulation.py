"""A scheduler in simulated time: the host, its clock and disk, and runs with simulated results."""

import datetime
import functools
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.schedule.cron import Timetable
from pipeline.schedule.scheduler import NewData, Rules, Schedule
from pipeline.schedule.state import Ended, Entry, Running, State

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


class SimulationEnded(BaseException):
    """The simulation is over."""


@dataclass
class World:
    """A host with a clock, a disk with the schedule's state, and runs that take time and end with `run_result`."""

    cron: str = "0 3 * * *"
    zone: str = "Europe/Berlin"
    rules: Rules = Rules()
    clock: datetime.datetime = datetime.datetime(2026, 1, 1, 12, tzinfo=UTC)
    run_result: Callable[["World"], Ended] = lambda world: PUSHED
    run_duration: datetime.timedelta = 10 * MINUTE
    until: datetime.datetime = datetime.datetime.max.replace(tzinfo=UTC)
    while_sleeping: Callable[["World"], None] = lambda world: None  # called whenever the scheduler sleeps
    new_data: Callable[["World"], NewData | None] = lambda world: None
    disk: State | None = None
    journal: list[Entry] = field(default_factory=list)
    tries: list[datetime.datetime] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.after = functools.lru_cache(8)(Timetable.of(self.cron, self.zone).after if self.cron else lambda _: None)

    def start(self) -> Schedule:
        """A scheduler that continues from the state on the disk."""
        state = State.begin(self.disk, self.cron, self.zone, self.clock)
        return Schedule(
            self.after,
            self.rules,
            state,
            self.save,
            self.run,
            lambda: self.clock,
            self.sleep,
            lambda: self.new_data(self),
        )

    def run_until(self, until: datetime.datetime) -> "World":
        """Runs the scheduler until then, restarted after each crash."""
        self.until = until
        while True:
            try:
                self.start().run_forever()
            except Crash:
                pass
            except SimulationEnded:
                return self

    def save(self, state: State) -> None:
        before = self.disk.recent if self.disk else ()
        if state.recent != before:
            self.journal.append(state.recent[-1])
        self.disk = State.model_validate_json(state.model_dump_json())
        assert self.disk == state

    def run(self, running: Running) -> Ended:
        if self.clock >= self.until:
            raise SimulationEnded
        self.tries.append(self.clock)
        self.clock += self.run_duration
        return self.run_result(self)

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 60
        self.clock += datetime.timedelta(seconds=seconds)
        self.while_sleeping(self)
        if self.clock >= self.until:
            raise SimulationEnded


def push_at_third_attempt(world: World) -> Ended:
    """A run that crashes twice."""
    if len(world.tries) < 3:
        raise Crash
    return PUSHED


def expected_ticks(start: datetime.datetime, end: datetime.datetime, hour: int = 3) -> list[datetime.datetime]:
    """Each day's tick in (start, end], computed without the scheduler."""
    days = [start.date() + n * DAY for n in range((end - start).days + 2)]
    ticks_of_days = [datetime.datetime.combine(day, datetime.time(hour), BERLIN).astimezone(UTC) for day in days]
    return [tick for tick in ticks_of_days if start < tick <= end]


def assert_accounted(journal: list[Entry], expected: list[datetime.datetime]) -> None:
    """Asserts that every expected tick is in exactly one entry, in order."""
    position = 0
    for entry in journal:
        position += entry.ticks
        assert entry.tick == expected[position - 1]
    assert position == len(expected)


def berlin_time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


def span_every_third_day(world: World) -> NewData | None:
    """A new span every third day at noon."""
    days = (world.clock - berlin_time("2026-01-02 12:00")) // DAY
    return NewData(f"{days // 3}", f"new span {days // 3}") if days >= 0 else None
