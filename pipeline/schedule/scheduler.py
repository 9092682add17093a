"""When the line runs: every tick of a timetable starts exactly one run, or is recorded as missed.

schedule = Schedule(table.after, Rules(missed="coalesce", retries=3), state, save=..., run=..., now=..., sleep=...)
schedule.forever()          # until `run` or `sleep` raises

Clock and sleep are parameters, so that a test can simulate a year. All times are UTC: daylight
saving time is handled by the timetable. `State` is saved before and after each run.
"""

import datetime
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pipeline.schedule.state import FAILING, Ended, Entry, Outcome, Running, State
from schemas.errors import ConfigurationError

Missed = Literal["coalesce", "catch-up", "skip"]
MISSED: tuple[Missed, ...] = get_args(Missed)
UNDONE = (*FAILING, "interrupted")  # the new data was neither used nor refused

NAP = datetime.timedelta(seconds=60)  # the longest sleep: clocks can be set, and laptops wake up
LATE = 2 * NAP  # after which a tick counts as missed
FIRST_PAUSE, LONGEST_PAUSE = datetime.timedelta(minutes=1), datetime.timedelta(minutes=15)
PENDING_PAUSE, PENDING_TEXT = datetime.timedelta(hours=1), "was not used yet; the next try is in an hour"
SET_BACK = datetime.timedelta(days=7)  # a clock that was set back by more was wrong: its ticks are not awaited
RECENT = 20


@dataclass(frozen=True)
class Rules:
    """How to treat missed ticks, failures, and hosts that would start at the same time."""

    missed: Missed = "coalesce"
    retries: int = 3
    jitter: float = 0.0  # seconds; the same for a tick across restarts
    name: str = ""  # of this host and store: the jitter's seed

    def __post_init__(self) -> None:
        """Raises ConfigurationError: the jitter is not a number from 0 to one day."""
        if not 0 <= self.jitter <= 86_400:  # also false for NaN
            raise ConfigurationError(
                f"--jitter {self.jitter:g} is not between 0 and 86400", "Name it in seconds, up to a day."
            )

    def start(self, tick: datetime.datetime) -> datetime.datetime:
        if not self.jitter:
            return tick
        share = int.from_bytes(hashlib.sha256(f"{self.name} {tick}".encode()).digest()[:8]) / 2**64
        return tick + datetime.timedelta(seconds=share * self.jitter)

    @staticmethod
    def pause(failures: int) -> datetime.timedelta:
        """Doubles with each failure."""
        return min(FIRST_PAUSE * (1 << min(failures - 1, 10)), LONGEST_PAUSE)


@dataclass(frozen=True)
class News:
    """The data that is available for training now."""

    token: str  # changes with new data
    words: str


@dataclass
class Schedule:
    """Takes one decision per step: run, record missed ticks, or sleep.

    `news` is called before each sleep. A result that differs from the last one starts a run, in addition to the
    timetable. New data stays pending until a run with it succeeds or is refused; otherwise it is tried again after a
    long pause.

    A run that raises was interrupted. It stays in the state, and the next start tries it again, up to `rules.retries`
    times. An interruption by `KeyboardInterrupt` is intended and not counted.
    """

    after: Callable[[datetime.datetime], datetime.datetime | None]
    rules: Rules
    state: State
    save: Callable[[State], None]
    run: Callable[[Running], Ended]
    now: Callable[[], datetime.datetime]
    sleep: Callable[[float], None]
    news: Callable[[], News | None] = lambda: None

    def forever(self) -> None:
        while True:
            self.step()

    def once(self) -> Entry:
        """Runs now, with the same retries, for all ticks up to now."""
        now = self.now()
        running = self.state.running or Running(tick=now, started=now)
        self._set(running=running.model_copy(update={"again": None}), accounted=max(self.state.accounted, now))
        while self.state.running:
            self.step()
        return self.state.recent[-1]

    def step(self) -> None:
        now = self.now()
        if self.state.accounted - now > SET_BACK:
            self._set(accounted=now, why="the clock was set back by more than a week: ticks count from now")
        running, news = self._pending(now), None
        if running is None and (news := self.news()) and self._calls(news, now):
            running = Running(tick=now, ticks=0, started=now, cause=news.words)
        if running is None:
            self._wait(now, *self._next(news))
        elif running.again and now < running.again <= now + LONGEST_PAUSE:  # later only if the clock was set back
            self._wait(now, running.again, self.state.why)
        elif running.tries > self.rules.retries:
            self._account(running, "failed", f"interrupted {running.tries} times during the run")
        else:
            self._try(running)

    def _pending(self, now: datetime.datetime) -> Running | None:
        """The run to be made: one begun before, or one for the ticks that are due."""
        running, due = self.state.running, self._due(now)
        if running and (self.rules.missed != "coalesce" or not due):
            return running
        if self.rules.missed == "skip":
            late = [tick for tick in due if now - self.rules.start(tick) > LATE]
            if late:
                why = "missed: the scheduler was not running, or an earlier run was still in progress"
                self._enter(Entry(tick=late[-1], ticks=len(late), outcome="missed", why=why, ended=now))
            due = due[len(late) :]
        if not due:
            return None
        if running:  # one run for earlier ticks and this one
            return running.model_copy(update={"tick": due[-1], "ticks": running.ticks + len(due)})
        return Running(tick=due[-1], ticks=len(due), started=now)

    def _calls(self, news: News, now: datetime.datetime) -> bool:
        """Whether data starts a run: it is new, or it is pending and the pause is over."""
        pending = self.state.pending
        return news.token != self.state.last_trigger or bool(pending and not now < pending <= now + PENDING_PAUSE)

    def _next(self, news: News | None) -> tuple[datetime.datetime | None, str]:
        start = (tick := self.after(self.state.accounted)) and self.rules.start(tick)
        if news and self.state.pending and not (start and start <= self.state.pending):
            return self.state.pending, f"{news.words} {PENDING_TEXT}"
        return (
            start,
            f"the next tick of {self.state.cron} ({self.state.timezone})"
            if self.state.cron
            else "waiting for a new span",
        )

    def _due(self, now: datetime.datetime) -> list[datetime.datetime]:
        ticks: list[datetime.datetime] = []
        tick = self.after(self.state.accounted)
        while tick and self.rules.start(tick) <= now:
            ticks.append(tick)
            if self.rules.missed == "catch-up":
                break
            tick = self.after(tick)
        return ticks

    def _try(self, running: Running) -> None:
        running = running.model_copy(update={"tries": running.tries + 1, "again": None})
        accounted = max(self.state.accounted, running.tick) if running.ticks else self.state.accounted
        news = self.news()  # the run uses the new data, whatever started it
        if news and news.token != self.state.last_trigger:
            self._set(last_trigger=news.token, pending=self.now())
        self._set(
            running=running,
            accounted=accounted,
            next=None,
            why=f"running: try {running.tries} of {self.rules.retries + 1}",
        )
        try:
            ended = self.run(running)
        except KeyboardInterrupt:
            kept = running.model_copy(update={"tries": running.tries - 1})
            self._set(running=kept, why="stopped during a run: the next start continues from there")
            raise
        if ended.busy:
            running = running.model_copy(update={"tries": running.tries - 1, "busy": running.busy + 1})
            self._again(running, self.rules.pause(running.busy), f"busy: {ended.words}")
        elif ended.retryable and running.tries <= self.rules.retries:
            self._again(
                running,
                self.rules.pause(running.tries),
                f"try {running.tries} of {self.rules.retries + 1} failed: {ended.words}",
            )
        else:
            self._account(running, ended.outcome, ended.words, ended.exit_code)

    def _again(self, running: Running, pause: datetime.timedelta, why: str) -> None:
        again = self.now() + pause
        self._set(running=running.model_copy(update={"again": again}), next=again, why=why)

    def _account(self, running: Running, outcome: Outcome, why: str, exit_code: int | None = None) -> None:
        pending = self.now() + PENDING_PAUSE if self.state.pending and outcome in UNDONE else None
        made = running.model_dump(include={"tick", "ticks", "cause", "tries", "started"})
        self._enter(Entry(**made, outcome=outcome, why=why, exit_code=exit_code, ended=self.now()), pending=pending)

    def _enter(self, entry: Entry, **changes: Any) -> None:
        accounted = max(self.state.accounted, entry.tick) if entry.ticks else self.state.accounted
        self._set(
            running=None, accounted=accounted, recent=(*self.state.recent, entry)[-RECENT:], why=entry.why, **changes
        )

    def _wait(self, now: datetime.datetime, until: datetime.datetime | None, why: str) -> None:
        if (self.state.next, self.state.why) != (until, why):
            self._set(next=until, why=why)
        self.sleep(min(until - now, NAP).total_seconds() if until else NAP.total_seconds())

    def _set(self, **changes: Any) -> None:
        self.state = self.state.model_copy(update=changes)
        self.save(self.state)
