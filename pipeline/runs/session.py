"""One run of the line, from configuration to exit code: what the command `run` does, for any caller."""

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from rich.console import Console

from pipeline import notify, serving
from pipeline.config import Config
from pipeline.dag import line
from pipeline.engine import runner
from pipeline.engine.component import Node
from pipeline.engine.pinned import PinnedInputs, by_run
from pipeline.engine.plan import Planner, Rerun, Step
from pipeline.lineage import Lineage
from pipeline.runs import log, progress
from pipeline.runs.approvals import Approvals
from pipeline.runs.signals import interrupted
from pipeline.serving import signing
from pipeline.store import Store, facts
from schemas.artifacts import Approval, Artifact, Decision, Pushed
from schemas.errors import ConfigurationError, EnvironmentFailure, GatelineError, Interrupted, Waiting, is_transient
from schemas.files import check_loadable
from schemas.redact import without_passwords


@dataclass(frozen=True)
class Session:
    """Where a run works, and how."""

    root: Path
    serving_dir: Path | None = None  # none: the one below `root`
    database: str | None = None
    again: Rerun = Rerun()
    until: str | None = None  # the stage that the run ends with; none: the line's last
    only: str | None = None  # the one stage that runs: what it needs must stand
    hold: str | None = None  # the name under which runs share what they look up
    beam_on: runner.Beam = runner.Beam()
    wait: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        check_loadable(self.root, "--root")
        check_loadable(self.destination, "--serving-dir")

    @property
    def destination(self) -> Path:
        """The serving directory."""
        return self.serving_dir or serving.default_dir(self.root)

    def plan(self, config: Config) -> list[Step]:
        """What would run and what would be reused. Nothing is written but the empty store."""
        node = self.part(config)
        return self._planner(Store(self.root), node).plan(node)

    def part(self, config: Config) -> Node:
        """The line, or what of it was asked for.

        Raises:
            ConfigurationError: no such stage, or both `until` and `only` name one.
        """
        if self.until and self.only:
            raise ConfigurationError(
                f"--until {self.until} and --only {self.only} contradict each other", "Leave one of them out."
            )
        whole, last = line(config, self.destination, self._decided, self.root / "digests.json"), self.until or self.only
        return whole.upto(last) if last else whole

    def run(self, config: Config, *, name: str, command: str) -> "Outcome":
        """Run the line.

        Raises:
            GatelineError: refused or failed, as the exit code says; recorded in the lineage before it is raised.
        """
        node = self.part(config)
        store = Store(self.root)
        planner = self._planner(store, node)
        with contextlib.ExitStack() as afterwards, store.lock(wait=self.wait):
            lineage = Lineage.at(self.root, self.database)
            for killed in lineage.running():  # who would have told of it is dead
                afterwards.callback(notify.send, config.notify, self.root, lineage, killed)
            number = lineage.start(profile=name, command=command, config=config.model_dump(mode="json", by_alias=True))
            afterwards.callback(
                notify.send, config.notify, self.root, lineage, number
            )  # its end is recorded, the lock released
            with (
                recorded(lineage, number, self.log(number)),
                log.quiet(self.log(number), verbose=self.verbose) as terminal,
                progress.watch(Console(file=terminal, highlight=False), node.stages) as watching,
            ):
                serving.writable(self.destination)
                signing.ready(config.push.signing)
                execution = runner.Execution(number, node, planner, store, lineage, self.beam_on, watching)
                outcome = self._outcome(execution, planner.plan(node))
            if isinstance(outcome.last, Approval) and outcome.state == "waiting":
                PinnedInputs(store.root, by_run(number)).pin_all(node, outcome.made)
                Approvals(lineage, self.root).ask(number, outcome.last)
            lineage.finish(number, state=outcome.state, exit_code=0, message=outcome.words)
            return outcome

    def _outcome(self, execution: runner.Execution, steps: list[Step]) -> "Outcome":
        try:
            last = cast(Artifact, execution.run(steps))
        except Waiting:
            last = cast(Artifact, execution.made["approve"])
        name = "approve" if isinstance(last, Approval) else execution.node.name
        return Outcome(execution.number, name, last, dict(execution.made), self.root, self.database)

    def _decided(self, shelf: str, model: str) -> Decision | None:
        return Approvals(Lineage.at(self.root, self.database), self.root).decided(shelf, model)

    def _planner(self, store: Store, node: Node) -> Planner:
        return Planner.of(
            store, self.again, node, only=self.only, pinned=PinnedInputs(store.root, self.hold) if self.hold else None
        )

    def log(self, number: int) -> Path:
        return self.root / "logs" / f"run-{number}.log"


@contextlib.contextmanager
def recorded(lineage: Lineage, number: int, log: Path) -> Iterator[None]:
    """However a run ends, its end is written down; that it cannot be written down hides nothing."""

    def finish(state: str, error: BaseException, exit_code: int) -> None:
        with contextlib.suppress(GatelineError):
            words = (
                error.shortened(2000) if isinstance(error, GatelineError) else f"{type(error).__name__}: {error}"[:2000]
            )
            lineage.finish(number, state=state, exit_code=exit_code, message=words)

    try:
        yield
    except GatelineError as error:
        finish("refused" if error.exit_code in (3, 4) else "failed", error, error.exit_code)
        raise
    except BaseException as error:
        if interrupted(error):
            stopped = Interrupted()
            finish("interrupted", stopped, stopped.exit_code)
            raise stopped from None
        if is_transient(error):
            failure = EnvironmentFailure.of(error, f"Run again later: finished stages are kept. log: {log}")
            finish("failed", failure, failure.exit_code)
            raise failure from error
        finish("failed", error, 1)
        error.add_note(f"log: {log}")
        raise


@dataclass(frozen=True)
class Outcome:
    """A run that ended well."""

    run: int
    stage: str  # the last
    last: Artifact  # what it made
    made: dict[str, Artifact | None]
    root: Path
    database: str | None = None

    @property
    def place(self) -> str:
        """The options that a command which is shown must be given to find this run."""
        root = "" if self.root == Path("gateline") else f" --root {shlex.quote(str(self.root))}"
        return root + (f" --database {shlex.quote(without_passwords(self.database))}" if self.database else "")

    @property
    def state(self) -> Literal["pushed", "unchanged", "waiting", "partial"]:
        if isinstance(self.last, Pushed):
            return "pushed" if self.last.new else "unchanged"
        return "waiting" if isinstance(self.last, Approval) and self.last.waiting else "partial"

    @property
    def words(self) -> str:
        """What the lineage says of it: nothing where the state says it all."""
        if isinstance(self.last, Approval) and self.last.waiting:
            return str(Waiting(self.last.reasons[0], self.approve))
        return f"ended with {self.stage}, as asked" if self.state == "partial" else ""

    @property
    def approve(self) -> str:
        """The command that approves the model."""
        return f"python -m pipeline approve {self.run} --by NAME --reason TEXT{self.place}"

    def as_json(self) -> dict[str, Any]:
        stages = {name: facts(a) | {"path": str(a.path), "digest": a.digest} for name, a in self.made.items() if a}
        pushed = {"pushed": str(self.last.path)} if isinstance(self.last, Pushed) else {}
        return {
            "run": self.run,
            "state": self.state,
            "stage": self.stage,
            **pushed,
            **stages[self.stage],
            "stages": stages,
        }
