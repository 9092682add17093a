"""When the line runs: every tick of a timetable is run exactly once, or accounted for.

schedule = Schedule(table.after, Rules(missed="coalesce", retries=3), state, save=..., run=..., now=..., sleep=...)
schedule.forever()          # until `run` or `sleep` raises

The class uses the clock and the sleep that it is given, so that a simulated year is a list. All times are UTC: summer
time is the timetable's concern. `State` holds what must survive, saved before and after each run.
"""

import datetime
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from pipeline.schedule.cron import zone_named
from schemas import files
from schemas.errors import ConfigurationError, EnvironmentFailure, StoreError

Missed = Literal["coalesce", "catch-up", "skip"]
Outcome = Literal[
    "pushed",
    "unchanged",
    "waiting",
    "no drift",
    "refused",
    "failed",
    "configuration",
    "time limit",
    "interrupted",
    "missed",
]
MISSED: tuple[Missed, ...] = get_args(Missed)
FAILING: tuple[Outcome, ...] = ("failed", "configuration", "time limit")
UNDONE = (*FAILING, "interrupted")  # what there was to learn from was neither learnt from nor refused

NAP = datetime.timedelta(seconds=60)  # the longest sleep: clocks are set, and laptops wake up
LATE = 2 * NAP  # after which a tick counts as missed
FIRST_PAUSE, LONGEST_PAUSE = datetime.timedelta(minutes=1), datetime.timedelta(minutes=15)
OWED_PAUSE, OWED_WORDS = datetime.timedelta(hours=1), "is not learnt from yet; an hour's pause, then the next try"
SET_BACK = datetime.timedelta(days=7)  # a clock that was ahead by more had been wrong: its ticks are not waited for
RECENT = 20


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    exit_code: int  # negative: killed by that signal
    words: str = ""
    new: bool = False  # it pushed a version
    timed_out: bool = False
    special: Outcome | None = None  # what 0 stands for where it is neither a new version nor the old one

    @property
    def outcome(self) -> Outcome:
        if self.timed_out:
            return "time limit"
        if self.exit_code == 0:
            return self.special or ("pushed" if self.new else "unchanged")
        if self.exit_code == 2 and not self.words.startswith(StoreError.kind):
            return "configuration"
        return {3: "refused", 4: "refused", 130: "interrupted"}.get(self.exit_code, "failed")  # type: ignore[return-value]

    @property
    def retryable(self) -> bool:
        """True if the same run may succeed without a change: the environment failed, or a signal killed it."""
        killed = self.exit_code < 0 or self.exit_code in (128 + 9, 128 + 15)
        unavailable = self.exit_code == EnvironmentFailure.exit_code or self.words.startswith(StoreError.kind)
        return self.outcome == "failed" and (killed or unavailable)

    @property
    def busy(self) -> bool:
        """True if another run held the lock: nothing was tried."""
        return self.exit_code == 5 and not self.timed_out


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Saved):
    """What became of a tick, or of several that one run stands for."""

    tick: AwareDatetime  # the last of them
    ticks: int = 1
    cause: str = ""  # the news that it was run for; it then stands for no tick
    outcome: Outcome
    why: str
    tries: int = 0
    exit_code: int | None = None
    started: AwareDatetime | None = None
    ended: AwareDatetime


class Running(_Saved):
    """A tick whose run has begun and has no outcome yet: in progress, waiting for a retry, or cut off by a crash."""

    tick: AwareDatetime
    ticks: int = 1
    cause: str = ""
    started: AwareDatetime
    tries: int = 0
    busy: int = 0  # times that another run held the lock
    again: AwareDatetime | None = None  # not before


class State(_Saved):
    """What outlives a restart."""

    cron: str
    timezone: str
    accounted: AwareDatetime  # ticks up to here are run, accounted for, or in `running`
    heard: str = ""  # the news that a run was last begun for, or had before it
    owed: AwareDatetime | None = None  # not before then are these tried again: no run with them has come to a good end
    running: Running | None = None
    next: AwareDatetime | None = None
    why: str = ""
    recent: tuple[Entry, ...] = ()  # the newest last

    @classmethod
    def read(cls, path: Path) -> "State | None":
        """Raises StoreError: the file is not a schedule's state, or cannot be read."""
        try:
            found = cls.model_validate_json(path.read_bytes())
            zone_named(found.timezone)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise files.explain(error, path, "cannot read the schedule's state") from error
        except (ValidationError, ConfigurationError) as error:
            why = f": {error.cause}" if isinstance(error, ConfigurationError) else ""
            raise StoreError(
                f"{path} is not a schedule's state{why}", "Remove it: the schedule then begins anew."
            ) from None
        return found

    def write(self, path: Path) -> None:
        with files.explained(path.parent, "cannot write the schedule's state to"):
            files.write_json(path, self.model_dump(mode="json"))

    @classmethod
    def begin(cls, before: "State | None", cron: str, timezone: str, now: datetime.datetime) -> "State":
        """Continues from `before`. A new timetable begins now: its ticks were never due. Owed runs start at once."""
        if before is None:
            return cls(cron=cron, timezone=timezone, accounted=now)
        why = before.why if before.running else ""
        # Decided, and said, anew; who starts a schedule again may have mended what was wrong.
        before = before.model_copy(update={"next": None, "why": why, "owed": before.owed and now})
        if (before.cron, before.timezone) == (cron, timezone):
            return before
        return before.model_copy(update={"cron": cron, "timezone": timezone, "accounted": now})


@dataclass(frozen=True)
class Rules:
    """What is done about ticks that were missed, about failures, and about hosts that would all start at once."""

    missed: Missed = "coalesce"
    retries: int = 3
    jitter: float = 0.0  # seconds; a tick's own share of it stays the same across restarts
    name: str = ""  # of this host and store: what the jitter hangs on

    def __post_init__(self) -> None:
        """Raises ConfigurationError: a jitter without end, or of more than a day."""
        if not 0 <= self.jitter <= 86_400:  # nor is what is not a number
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
    """What there is to learn from by now."""

    token: str  # differs where something is new
    words: str


@dataclass
class Schedule:
    """Takes one decision a step: make a try, account for what was missed, or sleep.

    `news` is called before each sleep. A result that differs from the last one starts a run, beside the timetable. News
    stay owed until a run with them succeeds or is refused; after any other end they are tried again after a long pause.

    A run that raises was cut off. It stays in the state, and the next start tries it again, up to `rules.retries`
    times. One that was cut off by `KeyboardInterrupt` was stopped on purpose, which is not counted.
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
        """Runs now, with the same retries; stands for every tick up to now."""
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
        elif running.again and now < running.again <= now + LONGEST_PAUSE:  # further away only by a clock set back
            self._wait(now, running.again, self.state.why)
        elif running.tries > self.rules.retries:
            self._account(running, "failed", f"cut off {running.tries} times in mid-run")
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
                why = "nothing ran then: the scheduler was down, or an earlier run was not over"
                self._enter(Entry(tick=late[-1], ticks=len(late), outcome="missed", why=why, ended=now))
            due = due[len(late) :]
        if not due:
            return None
        if running:  # one run for the ticks before and now
            return running.model_copy(update={"tick": due[-1], "ticks": running.ticks + len(due)})
        return Running(tick=due[-1], ticks=len(due), started=now)

    def _calls(self, news: News, now: datetime.datetime) -> bool:
        """Whether news start a run: they are new, or they are owed and the pause is over."""
        owed = self.state.owed
        return news.token != self.state.heard or bool(owed and not now < owed <= now + OWED_PAUSE)

    def _next(self, news: News | None) -> tuple[datetime.datetime | None, str]:
        start = (tick := self.after(self.state.accounted)) and self.rules.start(tick)
        if news and self.state.owed and not (start and start <= self.state.owed):
            return self.state.owed, f"{news.words} {OWED_WORDS}"
        return (
            start,
            f"the next tick of {self.state.cron} ({self.state.timezone})"
            if self.state.cron
            else "waiting for a new span",
        )

    def _due(self, now: datetime.datetime) -> list[datetime.datetime]:
        found: list[datetime.datetime] = []
        tick = self.after(self.state.accounted)
        while tick and self.rules.start(tick) <= now:
            found.append(tick)
            if self.rules.missed == "catch-up":
                break
            tick = self.after(tick)
        return found

    def _try(self, running: Running) -> None:
        running = running.model_copy(update={"tries": running.tries + 1, "again": None})
        accounted = max(self.state.accounted, running.tick) if running.ticks else self.state.accounted
        news = self.news()  # whatever the run is for, it learns of them too
        if news and news.token != self.state.heard:
            self._set(heard=news.token, owed=self.now())
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
            self._set(running=kept, why="stopped in mid-run: the next start goes on from there")
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
        owed = self.now() + OWED_PAUSE if self.state.owed and outcome in UNDONE else None
        made = running.model_dump(include={"tick", "ticks", "cause", "tries", "started"})
        self._enter(Entry(**made, outcome=outcome, why=why, exit_code=exit_code, ended=self.now()), owed=owed)

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
