"""A scheduler in simulated time: the host, its clock and disk, and runs that end as the test decides."""

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
    news: Callable[["World"], NewData | None] = lambda world: None
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


def pushed_at_the_third_try(world: World) -> Ended:
    """A run that is cut off twice."""
    if len(world.tries) < 3:
        raise Crash
    return PUSHED


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


def spans(world: World) -> NewData | None:
    """A span each third day at noon."""
    days = (world.clock - at("2026-01-02 12:00")) // DAY
    return NewData(f"{days // 3}", f"new span {days // 3}") if days >= 0 else None
