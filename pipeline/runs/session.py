"""One run of the line, from configuration to outcome: the implementation of `run` and `gateline.run`."""

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from pipeline import DEFAULT_ROOT, serving
from pipeline.config import Config
from pipeline.dag import line, stage_of
from pipeline.engine import runner
from pipeline.engine.component import Node
from pipeline.engine.pinned import PinnedInputs, by_run
from pipeline.engine.plan import Planner, Rerun, Step
from pipeline.lineage import Lineage
from pipeline.lineage.states import RunState
from pipeline.runs.approvals import Approvals
from pipeline.runs.context import Request, RunContext, RunOptions
from pipeline.serving import signing
from pipeline.store import Store, facts
from schemas.artifacts import Approval, Artifact, Decision, Pushed
from schemas.errors import ConfigurationError, Waiting
from schemas.files import check_loadable
from schemas.redact import without_passwords


@dataclass(frozen=True)
class Session:
    """The directories of a run, and the part of the line that it runs."""

    root: Path
    serving_dir: Path | None = None  # None: ROOT/serving
    database: str | None = None
    rerun: Rerun = Rerun()
    until: str | None = None  # the last stage of the run; None: the last stage of the line
    only: str | None = None  # the only stage that runs: its inputs must already exist in the store
    hold: str | None = None  # the name under which runs share pinned inputs
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

    @cached_property
    def options(self) -> RunOptions:
        return RunOptions(self.root, self.database, self.wait, self.verbose)

    def plan(self, config: Config) -> list[Step]:
        """The steps of a run. Writes only an empty store and the digests of the dataset."""
        node = self.part(config)
        return self._planner(Store(self.root), node).plan(node)

    def part(self, config: Config) -> Node:
        """The line, or the selected part of it.

        Raises:
            ConfigurationError: no such stage, or both `until` and `only` name one.
        """
        if self.until and self.only:
            cause = f"--until {self.until} and --only {self.only} contradict each other"
            raise ConfigurationError(cause, "Leave one of them out.")
        full, last = line(config, self.destination, self._decided, self.options.digests), self.until or self.only
        return full.up_to(last) if last else full

    def run(self, config: Config, *, name: str, command: str) -> "Outcome":
        """Runs the line, or the selected part of it.

        Raises:
            GatelineError: the run was refused or failed; see `exit_code`. The outcome is already recorded.
        """
        node, store = self.part(config), Store(self.root)
        planner = self._planner(store, node)
        request = Request(name, command, node.stages, config.notify, config)
        with RunContext.begin(self.options, store, request) as run:
            serving.writable(self.destination)
            signing.ready(config.push.signing)
            execution = run.execution(node, planner, self.beam_on)
            outcome = self._outcome(execution, planner.plan(node))
            if isinstance(outcome.last, Approval) and outcome.state is RunState.WAITING:
                PinnedInputs(store.root, by_run(run.number)).pin_all(node, outcome.artifacts)
                Approvals(run.lineage, self.root).request(run.number, outcome.last)
            run.finish(outcome.state, outcome.message)
        return outcome

    def _outcome(self, execution: runner.Execution, steps: list[Step]) -> "Outcome":
        try:
            last = cast(Artifact, execution.run(steps))
        except Waiting:
            last = cast(Artifact, execution.artifacts[stage_of(Approval)])
        name = stage_of(Approval) if isinstance(last, Approval) else execution.node.name
        return Outcome(execution.number, name, last, dict(execution.artifacts), self.root, self.database)

    def _decided(self, directory: str, model: str) -> Decision | None:
        return Approvals(Lineage.at(self.root, self.database), self.root).decided(directory, model)

    def _planner(self, store: Store, node: Node) -> Planner:
        pinned = PinnedInputs(store.root, self.hold) if self.hold else None
        return Planner.of(store, self.rerun, node, only=self.only, pinned=pinned)


@dataclass(frozen=True)
class Outcome:
    """A run that ended without an error."""

    run: int
    stage: str  # the last one
    last: Artifact  # the artifact of that stage
    artifacts: dict[str, Artifact | None]  # by stage
    root: Path
    database: str | None = None

    @property
    def place(self) -> str:
        """The options that make another command use the store of this run."""
        root = "" if self.root == DEFAULT_ROOT else f" --root {shlex.quote(str(self.root))}"
        return root + (f" --database {shlex.quote(without_passwords(self.database))}" if self.database else "")

    @property
    def state(self) -> RunState:
        if isinstance(self.last, Pushed):
            return RunState.PUSHED if self.last.new else RunState.UNCHANGED
        waiting = isinstance(self.last, Approval) and self.last.waiting
        return RunState.WAITING if waiting else RunState.PARTIAL

    @property
    def message(self) -> str:
        """The message for the lineage. Empty if the state is sufficient."""
        if isinstance(self.last, Approval) and self.last.waiting:
            return str(Waiting(self.last.reasons[0], self.approve))
        return f"ended with {self.stage}, as requested" if self.state is RunState.PARTIAL else ""

    @property
    def approve(self) -> str:
        """The command that approves the model."""
        return f"python -m pipeline approve {self.run} --by NAME --reason TEXT{self.place}"

    def as_json(self) -> dict[str, Any]:
        stages = {name: facts(a) | {"path": str(a.path), "digest": a.digest} for name, a in self.artifacts.items() if a}
        pushed = {"pushed": str(self.last.path)} if isinstance(self.last, Pushed) else {}
        return {
            "run": self.run,
            "state": self.state,
            "stage": self.stage,
            **pushed,
            **stages[self.stage],
            "stages": stages,
        }
