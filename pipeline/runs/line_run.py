"""One run of the line, from configuration to outcome: the implementation of `run` and `gateline.run`.

options = LineOptions(Path("gateline"), until="train")
plan(config, options)                                              # the steps, each with its reason
run(config, options, name="sample", command="python -m ...")       # the outcome
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pipeline import serving
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
from pipeline.runs.outcome import Outcome
from pipeline.serving import signing
from pipeline.store import Store
from schemas.artifacts import Approval, Artifact, Decision
from schemas.errors import ConfigurationError, Waiting
from schemas.places import check_loadable


@dataclass(frozen=True)
class LineOptions(RunOptions):
    """Options of a run of the line: also where it serves, which part of the line runs, and what is reused."""

    serving_dir: Path | None = None  # None: ROOT/serving
    rerun: Rerun = Rerun()
    until: str | None = None  # the last stage of the run; None: the last stage of the line
    only: str | None = None  # the only stage that runs: its inputs must already exist in the store
    hold: str | None = None  # the name under which runs share pinned inputs
    beam_on: runner.Beam = runner.Beam()

    def __post_init__(self) -> None:
        check_loadable(self.root, "--root")
        check_loadable(self.destination, "--serving-dir")

    @property
    def destination(self) -> Path:
        """The serving directory."""
        return self.serving_dir or serving.default_dir(self.root)


def plan(config: Config, options: LineOptions) -> list[Step]:
    """The steps of a run. Writes only an empty store and the digests of the dataset."""
    node = _part(config, options)
    return _planner(Store(options.root), node, options).plan(node)


def run(config: Config, options: LineOptions, *, name: str, command: str) -> Outcome:
    """Runs the line, or the selected part of it.

    Raises:
        GatelineError: the run was refused or failed; see `exit_code`. The outcome is already recorded.
    """
    node, store = _part(config, options), Store(options.root)
    planner = _planner(store, node, options)
    request = Request(name, command, node.stages, config.notify, config)
    with RunContext.begin(options, store, request) as context:
        serving.writable(options.destination)
        signing.ready(config.push.signing)
        outcome = _outcome(context.execution(node, planner, options.beam_on), planner.plan(node), options)
        if isinstance(outcome.last, Approval) and outcome.state is RunState.WAITING:
            PinnedInputs(store.root, by_run(context.number)).pin_all(node, outcome.artifacts)
            Approvals(context.lineage, options.root).request(context.number, outcome.last)
        context.finish(outcome.state, outcome.message)
    return outcome


def _part(config: Config, options: LineOptions) -> Node:
    """The line, or the selected part of it.

    Raises:
        ConfigurationError: no such stage, or both `until` and `only` name one.
    """
    if options.until and options.only:
        cause = f"--until {options.until} and --only {options.only} contradict each other"
        raise ConfigurationError(cause, "Leave one of them out.")

    def decided(directory: str, model: str) -> Decision | None:
        return Approvals(Lineage.at(options.root, options.database), options.root).decided(directory, model)

    full, last = line(config, options.destination, decided, options.digests), options.until or options.only
    return full.up_to(last) if last else full


def _planner(store: Store, node: Node, options: LineOptions) -> Planner:
    pinned = PinnedInputs(store.root, options.hold) if options.hold else None
    return Planner.of(store, options.rerun, node, only=options.only, pinned=pinned)


def _outcome(execution: runner.Execution, steps: list[Step], options: LineOptions) -> Outcome:
    try:
        last = cast(Artifact, execution.run(steps))
    except Waiting:
        last = cast(Artifact, execution.artifacts[stage_of(Approval)])
    name = stage_of(Approval) if isinstance(last, Approval) else execution.node.name
    return Outcome(execution.number, name, last, dict(execution.artifacts), options.root, options.database)
