"""The scheduler of one store: its lock and state, the process that runs the line, and the spans that start a run.

with service.lock(root):
    run = service.child(root, serving_dir, ["--profile=mnist"], limit=3600)
    Schedule(..., run=lambda running: service.run_if_drifted(run, running, on_new_span=False))
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import filelock

from pipeline.config import Config
from pipeline.dag import complete, stage_of
from pipeline.schedule.child import Child, drifted
from pipeline.schedule.scheduler import NewData
from pipeline.schedule.state import Ended, Running
from pipeline.store import Store
from schemas import files
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
    with files.explained(root, "cannot lock"):
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


def check_triggers(config: Config, *, on_new_span: bool, on_drift: bool) -> None:
    """Checks that the configuration has spans to watch, and that drift has an effect.

    Raises:
        ConfigurationError: it has none, or `on_drift` has no effect.
    """
    if (on_new_span or on_drift) and not config.spans:
        cause = "--on-new-span and --on-drift watch spans, and the configuration has none"
        raise ConfigurationError(cause, "Set spans.directory.")
    if on_drift and config.spans and config.spans.drift.then == "ignore":
        cause = "--on-drift has no effect with spans.drift.then: ignore"
        raise ConfigurationError(cause, "Set it to warning, quarantine or error.")


def child(root: Path, serving_dir: Path, options: Iterable[str], limit: float | None) -> Child:
    """The process that runs the line. `options`: of the command `run`. `limit`: seconds."""
    command = [sys.executable, "-m", "pipeline", "run", "--json", f"--root={root}", f"--serving-dir={serving_dir}"]
    return Child([*command, *options], Store(root).root / "logs" / "schedule.log", limit=limit)


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
