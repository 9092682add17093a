"""Decides when the line runs: every tick of a timetable is covered by one run, or recorded as missed.

schedule = Schedule(table.after, Rules(missed="coalesce", retries=3), state, save=..., run=..., now=..., sleep=...)
schedule.run_forever()      # until `run` or `sleep` raises

Clock and sleep are parameters, so that tests can simulate a year. All times are UTC; the timetable handles daylight
saving time. `State` is saved before and after each run.
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
UNSUCCESSFUL = (*FAILING, "interrupted")  # outcomes after which new data was neither used nor refused

MAX_SLEEP = datetime.timedelta(seconds=60)  # short, because clocks can be set and laptops suspended
LATE = 2 * MAX_SLEEP  # delay after which a tick is missed
FIRST_PAUSE, LONGEST_PAUSE = datetime.timedelta(minutes=1), datetime.timedelta(minutes=15)
PENDING_PAUSE, PENDING_TEXT = datetime.timedelta(hours=1), "was not used yet; the next try is in an hour"
MAX_CLOCK_STEP_BACK = datetime.timedelta(days=7)  # by more: the clock was wrong, and its ticks are dropped
RECENT = 20  # number of outcomes in the state


@dataclass(frozen=True)
class Rules:
    """The rules for missed ticks, retries and jitter."""

    missed: Missed = "coalesce"
    retries: int = 3
    jitter: float = 0.0  # maximum, in seconds; for one tick it is the same after a restart
    name: str = ""  # of host and store: the seed of the jitter

    def __post_init__(self) -> None:
        """Raises ConfigurationError: the jitter is not a number from 0 to one day."""
        if not 0 <= self.jitter <= 86_400:  # also false for NaN
            raise ConfigurationError(
                f"--jitter {self.jitter:g} is not between 0 and 86400", "Name it in seconds, up to a day."
            )

    def start(self, tick: datetime.datetime) -> datetime.datetime:
        """The time to start the run of a tick: the tick plus jitter."""
        if not self.jitter:
            return tick
        share = int.from_bytes(hashlib.sha256(f"{self.name} {tick}".encode()).digest()[:8]) / 2**64
        return tick + datetime.timedelta(seconds=share * self.jitter)

    @staticmethod
    def pause(failures: int) -> datetime.timedelta:
        """The pause before a retry. It doubles with each failure, up to a maximum."""
        return min(FIRST_PAUSE * (1 << min(failures - 1, 10)), LONGEST_PAUSE)


@dataclass(frozen=True)
class NewData:
    """The new data that is available for training."""

    token: str  # changes when new data arrives
    description: str


@dataclass
class Schedule:
    """Makes one decision per step: run, record missed ticks, or sleep.

    `new_data` is called before each sleep. If its token changes, a run starts, in addition to the timetable. New data
    is pending until a run with it succeeds or is refused. Until then, a run is retried after a long pause.

    If `run` raises, the run was interrupted. It remains in the state, and the next start retries it, up to
    `rules.retries` times. An interruption by `KeyboardInterrupt` is intended and not counted.
    """

    after: Callable[[datetime.datetime], datetime.datetime | None]
    rules: Rules
    state: State
    save: Callable[[State], None]
    run: Callable[[Running], Ended]
    now: Callable[[], datetime.datetime]
    sleep: Callable[[float], None]
    new_data: Callable[[], NewData | None] = lambda: None

    def run_forever(self) -> None:
        while True:
            self.step()

    def once(self) -> Entry:
        """Runs once for all ticks up to now, with the same retries. Returns the outcome."""
        now = self.now()
        running = self.state.running or Running(tick=now, started=now)
        self._set(running=running.model_copy(update={"retry_at": None}), accounted=max(self.state.accounted, now))
        while self.state.running:
            self.step()
        return self.state.recent[-1]

    def step(self) -> None:
        now = self.now()
        if self.state.accounted - now > MAX_CLOCK_STEP_BACK:
            self._set(accounted=now, why="the clock was set back by more than a week: ticks count from now")
        running, data = self._pending(now), None
        if running is None and (data := self.new_data()) and self._starts_run(data, now):
            running = Running(tick=now, ticks=0, started=now, cause=data.description)
        if running is None:
            self._wait(now, *self._next(data))
        elif running.retry_at and now < running.retry_at <= now + LONGEST_PAUSE:  # later only if the clock was set back
            self._wait(now, running.retry_at, self.state.why)
        elif running.tries > self.rules.retries:
            self._finish(running, "failed", f"interrupted {running.tries} times during the run")
        else:
            self._attempt(running)

    def _pending(self, now: datetime.datetime) -> Running | None:
        """The run to start: an unfinished one, or one for the due ticks. None if there is neither."""
        running, due = self.state.running, self._due(now)
        if running and (self.rules.missed != "coalesce" or not due):
            return running
        if self.rules.missed == "skip":
            late = [tick for tick in due if now - self.rules.start(tick) > LATE]
            if late:
                why = "missed: the scheduler was not running, or an earlier run was still in progress"
                self._record(Entry(tick=late[-1], ticks=len(late), outcome="missed", why=why, ended=now))
            due = due[len(late) :]
        if not due:
            return None
        if running:  # one run for the earlier ticks and the due ones
            return running.model_copy(update={"tick": due[-1], "ticks": running.ticks + len(due)})
        return Running(tick=due[-1], ticks=len(due), started=now)

    def _starts_run(self, data: NewData, now: datetime.datetime) -> bool:
        """Whether data starts a run: it is new, or it is pending and the pause is over."""
        pending = self.state.pending
        return data.token != self.state.last_trigger or bool(pending and not now < pending <= now + PENDING_PAUSE)

    def _next(self, data: NewData | None) -> tuple[datetime.datetime | None, str]:
        """(time of the next run, reason)."""
        start = (tick := self.after(self.state.accounted)) and self.rules.start(tick)
        if data and self.state.pending and not (start and start <= self.state.pending):
            return self.state.pending, f"{data.description} {PENDING_TEXT}"
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

    def _attempt(self, running: Running) -> None:
        running = running.model_copy(update={"tries": running.tries + 1, "retry_at": None})
        accounted = max(self.state.accounted, running.tick) if running.ticks else self.state.accounted
        data = self.new_data()  # the run uses new data, whatever started the run
        if data and data.token != self.state.last_trigger:
            self._set(last_trigger=data.token, pending=self.now())
        self._set(
            running=running,
            accounted=accounted,
            next=None,
            why=f"running: try {running.tries} of {self.rules.retries + 1}",
        )
        try:
            ended = self.run(running)
        except KeyboardInterrupt:
            uncounted = running.model_copy(update={"tries": running.tries - 1})
            self._set(running=uncounted, why="stopped during a run: the next start continues from there")
            raise
        if ended.busy:
            running = running.model_copy(update={"tries": running.tries - 1, "busy": running.busy + 1})
            self._retry_later(running, self.rules.pause(running.busy), f"busy: {ended.message}")
        elif ended.retryable and running.tries <= self.rules.retries:
            self._retry_later(
                running,
                self.rules.pause(running.tries),
                f"try {running.tries} of {self.rules.retries + 1} failed: {ended.message}",
            )
        else:
            self._finish(running, ended.outcome, ended.message, ended.exit_code)

    def _retry_later(self, running: Running, pause: datetime.timedelta, why: str) -> None:
        retry_at = self.now() + pause
        self._set(running=running.model_copy(update={"retry_at": retry_at}), next=retry_at, why=why)

    def _finish(self, running: Running, outcome: Outcome, why: str, exit_code: int | None = None) -> None:
        pending = self.now() + PENDING_PAUSE if self.state.pending and outcome in UNSUCCESSFUL else None
        values = running.model_dump(include={"tick", "ticks", "cause", "tries", "started"})
        self._record(Entry(**values, outcome=outcome, why=why, exit_code=exit_code, ended=self.now()), pending=pending)

    def _record(self, entry: Entry, **changes: Any) -> None:
        accounted = max(self.state.accounted, entry.tick) if entry.ticks else self.state.accounted
        self._set(
            running=None, accounted=accounted, recent=(*self.state.recent, entry)[-RECENT:], why=entry.why, **changes
        )

    def _wait(self, now: datetime.datetime, until: datetime.datetime | None, why: str) -> None:
        if (self.state.next, self.state.why) != (until, why):
            self._set(next=until, why=why)
        self.sleep(min(until - now, MAX_SLEEP).total_seconds() if until else MAX_SLEEP.total_seconds())

    def _set(self, **changes: Any) -> None:
        self.state = self.state.model_copy(update=changes)
        self.save(self.state)
