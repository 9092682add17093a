"""A run in progress: lock, number in the lineage, log, progress, notifications and outcome.

with RunContext.begin(options, store, Request("sample", "python -m ...", node.stages, config.notify, config)) as run:
    artifact = run.execute(node, planner)
    run.finish(RunState.TUNED)

Every command that runs stages uses a context: `run`, `tune`, `schema infer`, `init` and `approve`. There is no global
state: one process can have runs in several stores.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline import notify
from pipeline.config import Config
from pipeline.dag import outputs
from pipeline.engine import runner
from pipeline.engine.component import Node
from pipeline.engine.plan import Planner
from pipeline.lineage import Lineage
from pipeline.lineage.states import RunState
from pipeline.notify import Notify
from pipeline.runs import log, progress
from pipeline.runs.signals import interrupted
from pipeline.store import Store
from schemas.artifacts import Artifact
from schemas.errors import EnvironmentFailure, GatelineError, Interrupted, is_transient

Watch = Callable[[Console, list[str]], Any]


@dataclass(frozen=True)
class RunOptions:
    """Options of every run: its store and lineage, and how it waits and logs."""

    root: Path
    database: str | None = None
    wait: bool = False  # wait while another run holds the lock
    verbose: bool = False

    def log(self, number: int) -> Path:
        return self.root / "logs" / f"run-{number}.log"

    @property
    def digests(self) -> Path:
        """The cache of digests of the dataset's files."""
        return self.root / "digests.json"


@dataclass(frozen=True)
class Request:
    """What the lineage records at the start of a run, and the receivers of notifications."""

    profile: str
    command: str  # as typed by the user
    stages: list[str]
    targets: list[Notify]
    config: Config | None = None


@dataclass
class RunContext:
    """A run in progress, which holds the store's lock."""

    options: RunOptions
    store: Store
    lineage: Lineage
    number: int
    progress: Any
    _finished: dict[str, Any] = field(default_factory=dict)

    @classmethod
    @contextlib.contextmanager
    def begin(
        cls,
        options: RunOptions,
        store: Store,
        request: Request,
        *,
        watch: Watch = progress.watch,
    ) -> Iterator["RunContext"]:
        """Starts and records a run. On exit, records the outcome, then sends the notifications.

        Raises:
            Locked: another run holds the lock.
            GatelineError: the error of the run, after its outcome is recorded.
        """
        with contextlib.ExitStack() as on_exit, store.lock(wait=options.wait):
            lineage = Lineage.at(store.root, options.database)
            to_notify = lineage.running()  # killed runs, which could not send their notifications
            on_exit.callback(_notify, request.targets, store.root, lineage, to_notify)
            settings = request.config.model_dump(mode="json", by_alias=True) if request.config else {}
            number = lineage.start(profile=request.profile, command=request.command, config=settings)
            to_notify.append(number)
            with (
                recorded(lineage, number, options.log(number)),
                log.quiet(options.log(number), verbose=options.verbose) as terminal,
                watch(Console(file=terminal, highlight=False), request.stages) as progress_view,
            ):
                context = cls(options, store, lineage, number, progress_view)
                yield context
            lineage.finish(number, **context._finished)

    def execution(self, node: Node, planner: Planner, beam_on: runner.Beam | None = None) -> runner.Execution:
        return runner.Execution(
            self.number, node, planner, self.store, self.lineage, beam_on or runner.Beam(), self.progress
        )

    def execute(self, node: Node, planner: Planner, beam_on: runner.Beam | None = None) -> Artifact | None:
        """Runs the stages up to `node`. Returns the artifact of `node`."""
        return self.execution(node, planner, beam_on).run(planner.plan(node))

    def finish(self, state: RunState, message: str = "") -> None:
        """Sets the outcome, which is recorded when the context exits without an error."""
        self._finished = {"state": state, "exit_code": 0, "message": message}


def _notify(targets: list[Notify], root: Path, lineage: Lineage, runs: list[int]) -> None:
    """Sends notifications, after the outcomes are recorded and the lock is released."""
    for number in runs:
        notify.send(targets, root, lineage, number, outputs())


@contextlib.contextmanager
def recorded(lineage: Lineage, number: int, log: Path) -> Iterator[None]:
    """Records the outcome of a run that raises. A failure to record does not hide the error."""

    def finish(state: RunState, error: BaseException, exit_code: int) -> None:
        text = error.shortened(2000) if isinstance(error, GatelineError) else f"{type(error).__name__}: {error}"[:2000]
        with contextlib.suppress(GatelineError):
            lineage.finish(number, state=state, exit_code=exit_code, message=text)

    try:
        yield
    except GatelineError as error:
        finish(RunState.REFUSED if error.exit_code in (3, 4) else RunState.FAILED, error, error.exit_code)
        raise
    except BaseException as error:
        if interrupted(error):
            interruption = Interrupted()
            finish(RunState.INTERRUPTED, interruption, interruption.exit_code)
            raise interruption from None
        if is_transient(error):
            failure = EnvironmentFailure.of(error, f"Run again later: finished stages are kept. log: {log}")
            finish(RunState.FAILED, failure, failure.exit_code)
            raise failure from error
        finish(RunState.FAILED, error, 1)
        error.add_note(f"log: {log}")
        raise
