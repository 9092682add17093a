"""Run what the plan leaves to be done: the DAG becomes a Beam pipeline, a step for each stage, its inputs as side inputs.

Beam orchestrates the order in this one process; a data-parallel stage opens a Beam pipeline of its own, on the runner that
the user chose. If only light stages remain, Beam is not even imported.
"""

import contextlib
import difflib
import functools
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from etils import epy

from pipeline.engine.cache_key import Recipe
from pipeline.engine.component import Node
from pipeline.engine.plan import Planner, Step, refused
from pipeline.lineage import Lineage, now
from pipeline.store import Store, facts
from schemas import files
from schemas.artifacts import Artifact
from schemas.errors import ConfigurationError, GatelineError

with epy.lazy_imports():
    import apache_beam as beam
    from apache_beam.options import pipeline_options
    from apache_beam.runners.portability import fn_api_runner
    from apache_beam.transforms import core


RUNNERS = ("DirectRunner", "PrismRunner", "FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner")


class Progress(Protocol):
    """Who watches a run."""

    def started(self, stage: str) -> None: ...
    def said(self, stage: str, text: str) -> None: ...
    def ended(self, stage: str, state: str, why: str, seconds: float) -> None: ...


@dataclass(frozen=True)
class Beam:
    """Where data-parallel stages run."""

    runner: str = "DirectRunner"
    arguments: tuple[str, ...] = ()

    def pipeline(self) -> "beam.Pipeline":
        remember_signatures()
        if self.runner == "DirectRunner":
            # FnApiRunner, not Beam's DirectRunner: the latter first downloads Prism, an executable, unverified.
            # In this process and thread: Beam's threads talk gRPC, which costs more than they give, and hide what was raised.
            own = ["--direct_num_workers=1", "--direct_running_mode=in_memory"]
            return beam.Pipeline(fn_api_runner.FnApiRunner(), options=self._options(own))
        return beam.Pipeline(self.runner, options=self._options([]))

    def _options(self, own: list[str]) -> "pipeline_options.PipelineOptions":
        try:
            return pipeline_options.PipelineOptions([*own, *self.arguments])
        except SystemExit:  # argparse's way of saying no
            raise ConfigurationError(
                f"Beam refuses {' '.join(self.arguments)}", "Check the values of --beam-arg."
            ) from None


@functools.cache
def remember_signatures() -> None:
    """Beam inspects the same methods thousands of times while it builds a pipeline: a tenth of the time of a stage of MNIST's size.
    A method's parameters are those of its function, whatever object it is bound to, so that each is inspected once."""
    inspected = core.get_function_args_defaults

    @functools.cache
    def of(function: Any) -> Any:
        return inspected(types.MethodType(function, object()))

    def remembered(function: Any) -> Any:
        return of(function.__func__) if isinstance(function, types.MethodType) else inspected(function)

    core.get_function_args_defaults = remembered  # type: ignore[assignment]


@dataclass
class StageRun:
    """What a stage is lent: `pipeline.engine.component.Run`."""

    out: Path
    scratch: Path
    lineage: dict[str, Any]
    beam_on: Beam
    ahead: Any
    earlier: Callable[[], Iterator[Artifact]]
    _say: Any

    @contextlib.contextmanager
    def beam(self) -> Iterator["beam.Pipeline"]:
        with self.beam_on.pipeline() as pipeline:
            yield pipeline

    def say(self, text: str) -> None:
        self._say(text)


@dataclass
class Execution:
    """One run of the line: makes artifacts, and writes down what it did."""

    number: int
    node: Node
    planner: Planner
    store: Store
    lineage: Lineage
    beam_on: Beam
    progress: Progress
    made: dict[str, Artifact | None] = field(default_factory=dict)
    failure: BaseException | None = None
    _origins: dict[str, dict[str, Any]] = field(default_factory=dict)
    _ahead: dict[str, Any] = field(default_factory=dict)
    _sound: set[Path] = field(default_factory=set)  # artifacts that were made or read through by this run
    _handles: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def run(self, steps: list[Step]) -> Artifact | None:
        """The last stage's artifact.

        Raises:
            GatelineError: refused, or a stage failed in a way that it could explain. Finished stages stay in the store.
        """
        with self._handles:
            if any(step.action == "run" and step.node.component.kind == "cached" for step in steps):
                self._run_on_beam(steps)
            else:
                for step in steps:
                    self.make(step.node)
        made = self.made[self.node.name]
        if refusal := refused(made):  # the run ends with a gate: nobody behind it can say so
            raise refusal
        return made

    def _run_on_beam(self, steps: list[Step]) -> None:
        global _current
        _current = self
        remember_signatures()
        try:
            with beam.Pipeline(fn_api_runner.FnApiRunner(), options=pipeline_options.PipelineOptions([])) as pipeline:
                done: dict[str, beam.PCollection] = {}
                for step in steps:
                    after = {name: beam.pvalue.AsSingleton(done[n.name]) for name, n in step.node.inputs.items()}
                    start = pipeline | f"start {step.name}" >> beam.Create([step.name])
                    done[step.name] = start | step.name >> beam.Map(_make, **after)
        except Exception:
            if self.failure is not None:  # as the stage raised it, not as Beam wrapped it
                raise self.failure from None
            raise
        finally:
            _current = None

    def make(self, node: Node) -> Artifact | None:
        """A node's artifact, reused or made now."""
        started = time.monotonic()
        inputs = {name: self.made[n.name] for name, n in node.inputs.items()}
        step = self.planner.decide(node, inputs)
        if step.refusal is not None:
            raise step.refusal
        artifact = step.artifact
        if step.action == "run":
            self.progress.started(node.name)
            try:
                artifact = self._perform(step, inputs)
            except BaseException as error:
                why = (str(error) or type(error).__name__).split("\n")[0]
                with contextlib.suppress(GatelineError):  # what failed is what the user must hear of
                    self._record(step, "failed", time.monotonic() - started, None, why)
                raise
        self.made[node.name] = artifact
        self._remember(step, artifact)
        if step.action == "resolve":
            if self.planner.held:
                self.planner.held.keep(node, inputs, artifact)
        else:
            self._record(
                step, "ran" if step.action == "run" else "reused", time.monotonic() - started, artifact, step.why
            )
        return artifact

    def _perform(self, step: Step, inputs: dict[str, Artifact | None]) -> Artifact:
        recipe = step.recipe
        assert recipe is not None
        for name, given in inputs.items():
            if given and step.node.inputs[name].component.kind == "cached" and given.path not in self._sound:
                self.store.check(step.node.inputs[name].name, given)  # before hours are spent on a flipped bit
                self._sound.add(given.path)
        self._start_ahead(step.node)
        written = files.full_disk_explained(self.store.root, f"stage {step.name} cannot write to")
        with written, self.store.staging(step.name, recipe.key) as out:
            run = StageRun(
                out=out,
                scratch=self.store.scratch(step.name, recipe.key),
                lineage={"run": self.number, "stages": self._upstream(step.node)},
                beam_on=self.beam_on,
                ahead=self._ahead.get(step.name),
                earlier=lambda: self.store.alike(step.name, recipe.ingredients, step.node.component.output),
                _say=lambda text: self.progress.said(step.name, text),
            )
            artifact: Artifact = step.node.component.function(**inputs, **step.node.settings, run=run)
            if step.node.component.kind == "always":
                files.remove(run.scratch)
                return artifact
            made = self.store.commit(artifact, step.name, recipe.key, recipe.ingredients, now())
            self._sound.add(made.path)
            return made

    def _start_ahead(self, node: Node) -> None:
        """Start what later stages asked to be started while an input of theirs is being made."""
        for later in self.node.walk():
            if later.component.ahead and later.name not in self._ahead and node in later.inputs.values():
                self._ahead[later.name] = self._handles.enter_context(later.component.ahead())

    def _upstream(self, node: Node) -> dict[str, dict[str, Any]]:
        return {n.name: self._origins[n.name] for n in node.walk() if n is not node}

    def _remember(self, step: Step, artifact: Artifact | None) -> None:
        recipe: Recipe | None = step.recipe
        self._origins[step.name] = {
            "key": recipe.key if recipe else None,
            "digest": artifact.digest if artifact else None,
            "settings": recipe.ingredients["settings"] if recipe else None,
            "versions": recipe.ingredients["versions"] if recipe else None,
            "facts": facts(artifact) if artifact else None,
        }

    def _record(self, step: Step, state: str, seconds: float, artifact: Artifact | None, why: str) -> None:
        key = step.recipe.key if step.recipe else None
        place = {"path": str(artifact.path), "digest": artifact.digest, "facts": facts(artifact)} if artifact else {}
        self.lineage.executed(self.number, step.name, state=state, why=why, seconds=seconds, key=key, **place)
        self.progress.ended(step.name, state, why, seconds)


_current: Execution | None = None  # the steps of the outer pipeline run in this process and find their execution here


def _make(stage: str, **_inputs: Any) -> Artifact | None:
    assert _current is not None
    node = next(n for n in _current.node.walk() if n.name == stage)
    try:
        return _current.make(node)
    except BaseException as error:
        _current.failure = error
        raise


def checked(runner: str, arguments: list[str]) -> Beam:
    """The user's choice of runner, checked before anything runs."""
    if runner not in RUNNERS and "." not in runner:
        close = difflib.get_close_matches(runner, RUNNERS, 1)
        hint = f"Did you mean {close[0]}?" if close else f"It knows {', '.join(RUNNERS)}, or a runner's dotted path."
        raise ConfigurationError(f"Beam knows no runner {runner}", hint)
    for argument in arguments:
        if not argument.startswith("--"):
            raise ConfigurationError(
                f"--beam-arg {argument} is not of the form --name=value",
                "For example: --beam-arg=--direct_num_workers=4",
            )
    return Beam(runner, tuple(arguments))
