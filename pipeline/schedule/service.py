"""The scheduler of one store: its lock and state, the process that runs the line, and the spans that start a run.

service = Service(root, profile="mnist", cron="0 3 * * *", time_limit=60)
with service.start(lambda before, state: print(state.why)) as schedule:
    schedule.run_forever()
"""

import contextlib
import dataclasses
import datetime
import functools
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from pipeline import DATABASE_VARIABLE
from pipeline.config import Config, load
from pipeline.dag import complete, stage_of
from pipeline.schedule.child import Child, drifted
from pipeline.schedule.cron import Timetable, zone_named
from pipeline.schedule.scheduler import NewData, Rules, Schedule
from pipeline.schedule.state import Ended, Running, State
from pipeline.serving import default_dir
from pipeline.store import Store
from schemas import places
from schemas.artifacts import Admission
from schemas.errors import ConfigurationError, GatelineError, Locked


def state_path(root: Path) -> Path:
    """The file with the scheduler's state."""
    return root / "schedule.json"


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Holds the scheduler's lock: a store has only one scheduler.

    Raises:
        Locked: another one is running.
        StoreError: the store cannot be written.
    """
    scheduler = filelock.FileLock(root / "schedule.lock")
    with places.explained(root, "cannot lock"):
        try:
            scheduler.acquire(timeout=2)  # `is_alive` takes it briefly
        except filelock.Timeout:
            raise Locked(
                f"another scheduler holds {root / 'schedule.lock'}", "Stop it first, or use another --root."
            ) from None
    try:
        yield
    finally:
        scheduler.release()


def is_alive(root: Path) -> bool:
    """Whether a scheduler is running.

    Raises:
        StoreError: the store cannot be written.
    """
    try:
        with lock(root):
            return False
    except Locked:
        return True


@dataclass(frozen=True)
class Service:
    """What a scheduler runs, and when: the options of the command `schedule`."""

    root: Path
    serving_dir: Path | None = None  # None: ROOT/serving
    database: str | None = None
    profile: str | None = None
    config: Path | None = None
    sets: tuple[str, ...] = ()
    cron: str | None = None  # None: no timetable, only new data starts a run
    timezone: str = "UTC"
    rules: Rules = Rules()
    time_limit: float | None = None  # minutes
    on_new_span: bool = False
    on_drift: bool = False

    @property
    def destination(self) -> Path:
        """The serving directory."""
        return self.serving_dir or default_dir(self.root)

    @contextlib.contextmanager
    def start(
        self,
        changed: Callable[[State, State], None],
        *,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[Schedule]:
        """The schedule, while this process holds the scheduler's lock. Saves each state, then calls `changed` with the
        state before and the new one.

        Raises:
            ConfigurationError: an invalid configuration, timetable or trigger, which must not wait for the first tick.
            Locked: another scheduler is running.
        """
        zone_named(self.timezone)  # checked without a timetable too: times are shown in it
        after = Timetable.of(self.cron, self.timezone).after if self.cron else lambda _: None
        config = load(profile=self.profile, file=self.config, sets=list(self.sets))
        self._check_triggers(config)
        with lock(self.root):
            state = State.begin(State.read(state_path(self.root)), self.cron or "", self.timezone, now())
            rules = dataclasses.replace(self.rules, name=f"{socket.gethostname()} {self.root.absolute()}")
            run = functools.partial(run_if_drifted, self.child(), on_new_span=self.on_new_span)
            planned = Schedule(after, rules, state, self._saver(state, changed), run, now, sleep)
            if self.on_new_span or self.on_drift:
                planned.new_data = functools.partial(new_data, config)
            yield planned

    def child(self) -> Child:
        """The process that runs the line."""
        places = [f"--root={self.root}", f"--serving-dir={self.destination}"]
        selected = f"--config={self.config}" if self.config else f"--profile={self.profile}"
        command = [sys.executable, "-m", "pipeline", "run", "--json", *places, selected]
        return Child(
            [*command, *(f"--set={each}" for each in self.sets)],
            Store(self.root).root / "logs" / "schedule.log",
            limit=self.time_limit and 60 * self.time_limit,
            # Not an argument, which all users of the machine can see.
            environment={DATABASE_VARIABLE: self.database} if self.database else {},
        )

    def _check_triggers(self, config: Config) -> None:
        if (self.on_new_span or self.on_drift) and not config.spans:
            cause = "--on-new-span and --on-drift watch spans, and the configuration has none"
            raise ConfigurationError(cause, "Set spans.directory.")
        if self.on_drift and config.spans and config.spans.drift.then == "ignore":
            cause = "--on-drift has no effect with spans.drift.then: ignore"
            raise ConfigurationError(cause, "Set it to warning, quarantine or error.")

    def _saver(self, state: State, changed: Callable[[State, State], None]) -> Callable[[State], None]:
        before = state

        def save(state: State) -> None:
            nonlocal before
            state.write(state_path(self.root))
            changed(before, state)
            before = state

        return save


def run_if_drifted(run: Child, running: Running, *, on_new_span: bool) -> Ended:
    """Runs the line. Unless `on_new_span`, a new span starts it only if the span has drifted."""
    if running.cause and not on_new_span:
        admission = dataclasses.replace(run, command=[*run.command, f"--until={stage_of(Admission)}"], read=drifted)()
        if admission.exit_code or not admission.new:
            return admission
    return run()


def new_data(config: Config) -> NewData | None:
    """The complete spans. None if there are none, or if the directory cannot be read."""
    try:
        arrivals = complete(config)
    except (GatelineError, OSError):
        return None
    return NewData(arrivals.digest, f"new span {list(arrivals.spans)[-1]}") if arrivals and arrivals.spans else None
