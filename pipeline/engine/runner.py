"""Runs the planned stages: the DAG becomes a Beam pipeline with one step per stage and its inputs as side inputs.

Beam orchestrates the order in this process. A data-parallel stage opens its own Beam pipeline on the selected
runner. If only light stages remain, Beam is not imported.
"""

import contextlib
import difflib
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from etils import epy

from pipeline.engine import compat
from pipeline.engine.cache_key import CacheKey
from pipeline.engine.component import Node
from pipeline.engine.plan import Planner, Step, refusal_of, resolve
from pipeline.lineage import Lineage, now
from pipeline.lineage.states import StageState
from pipeline.store import Store, facts
from schemas import disk, places
from schemas.artifacts import Artifact
from schemas.errors import ConfigurationError, GatelineError, last_line

with epy.lazy_imports():
    import apache_beam as beam
    from apache_beam.options import pipeline_options


RUNNERS = ("DirectRunner", "PrismRunner", "FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner")


class Progress(Protocol):
    """Receives the progress of a run."""

    def started(self, stage: str) -> None: ...
    def message(self, stage: str, text: str) -> None: ...
    def ended(self, stage: str, state: StageState, why: str, seconds: float) -> None: ...


@dataclass(frozen=True)
class Beam:
    """The Beam runner of data-parallel stages, and its arguments."""

    runner: str = "DirectRunner"
    arguments: tuple[str, ...] = ()

    def pipeline(self) -> "beam.Pipeline":
        compat.cache_signatures()
        if self.runner == "DirectRunner":
            # In this process and thread: Beam's threads use gRPC, which is slower here, and hide errors.
            defaults = ["--direct_num_workers=1", "--direct_running_mode=in_memory"]
            return beam.Pipeline(compat.in_process_runner(), options=self._options(compat.options, defaults))
        return beam.Pipeline(self.runner, options=self._options(pipeline_options.PipelineOptions, []))

    def _options(self, make: Callable[[list[str]], Any], defaults: list[str]) -> Any:
        try:
            return make([*defaults, *self.arguments])
        except SystemExit:  # raised by argparse
            raise ConfigurationError(
                f"Beam refuses {' '.join(self.arguments)}", "Check the values of --beam-arg."
            ) from None


@dataclass
class _StageRun:
    """The `run` argument of a stage: implements `pipeline.engine.component.StageRun`."""

    out: Path
    scratch: Path
    lineage: dict[str, Any]
    beam_on: Beam
    prefetched: Any
    previous: Callable[[], Iterator[Artifact]]
    _log: Any

    @contextlib.contextmanager
    def beam(self) -> Iterator["beam.Pipeline"]:
        with self.beam_on.pipeline() as pipeline:
            yield pipeline

    def log(self, text: str) -> None:
        self._log(text)


@dataclass
class Execution:
    """Executes one run of the line, and records each stage in the lineage."""

    number: int
    node: Node
    planner: Planner
    store: Store
    lineage: Lineage
    beam_on: Beam
    progress: Progress
    artifacts: dict[str, Artifact | None] = field(default_factory=dict)
    failure: BaseException | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _origins: dict[str, dict[str, Any]] = field(default_factory=dict)
    _prefetched: dict[str, Any] = field(default_factory=dict)
    _verified: set[Path] = field(default_factory=set)  # artifacts that this run made or verified
    _looked_up: dict[str, Step] = field(default_factory=dict)
    _handles: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def run(self, steps: list[Step]) -> Artifact | None:
        """Runs all steps. Returns the last stage's artifact.

        Raises:
            GatelineError: a gate refused, or a stage failed with a known cause. Finished stages stay in the store.
        """
        # What the plan looked up a moment ago is not looked up again, unless something has run since.
        unchanged = itertools.takewhile(lambda step: step.action in ("reuse", "resolve"), steps)
        self._looked_up = {step.name: step for step in unchanged if step.action == "resolve"}
        with self._handles:
            if any(step.action == "run" and step.node.component.kind == "cached" for step in steps):
                self._run_on_beam(steps)
            else:
                for step in steps:
                    self.make(step.node)
        last = self.artifacts[self.node.name]
        if refusal := refusal_of(last):  # the run ends with a gate, so no later stage raises the refusal
            raise refusal
        return last

    def _run_on_beam(self, steps: list[Step]) -> None:
        compat.cache_signatures()
        _executions[self.token] = self
        try:
            with beam.Pipeline(compat.in_process_runner(), options=compat.options()) as pipeline:
                done: dict[str, beam.PCollection] = {}
                for step in steps:
                    after = {name: beam.pvalue.AsSingleton(done[n.name]) for name, n in step.node.inputs.items()}
                    start = pipeline | f"start {step.name}" >> beam.Create([(self.token, step.name)])
                    done[step.name] = start | step.name >> beam.Map(_make, **after)
        except Exception:
            if self.failure is not None:  # the error of the stage, without Beam's wrapper
                raise self.failure from None
            raise
        finally:
            del _executions[self.token]

    def make(self, node: Node) -> Artifact | None:
        """Reuses or makes the artifact of a node, and returns it."""
        started = time.monotonic()
        inputs = {name: self.artifacts[n.name] for name, n in node.inputs.items()}
        step = self._looked_up.pop(node.name, None) or self.planner.decide(node, inputs)
        if step.refusal is not None:
            raise step.refusal
        artifact = step.artifact
        if step.action == "run":
            self.progress.started(node.name)
            try:
                artifact = self._run_stage(step, inputs)
            except BaseException as error:
                why = f"{error}".split("\n")[0] if isinstance(error, GatelineError) else last_line(error)
                with contextlib.suppress(GatelineError):  # the first failure must not be hidden
                    self._record(step, StageState.FAILED, time.monotonic() - started, None, why)
                raise
        self.artifacts[node.name] = artifact
        self._set_origin(step, artifact)
        if step.action == "resolve":
            if self.planner.pinned:
                self.planner.pinned.pin(node, inputs, artifact)
        else:
            state = StageState.RAN if step.action == "run" else StageState.REUSED
            self._record(step, state, time.monotonic() - started, artifact, step.why)
        return artifact

    def _run_stage(self, step: Step, inputs: dict[str, Artifact | None]) -> Artifact:
        if (key := step.key) is None:
            raise ValueError(f"stage {step.name} has no cache key")
        parts = key.parts
        for name, source in inputs.items():
            if source and step.node.inputs[name].component.kind == "cached" and source.path not in self._verified:
                self.store.check(step.node.inputs[name].name, source)  # detects damage before hours of work
                self._verified.add(source.path)
        self._start_prefetch(step.node)
        written = places.full_disk_explained(self.store.root, f"stage {step.name} cannot write to")
        with written, self.store.staging(step.name, key.digest) as out:
            run = _StageRun(
                out=out,
                scratch=self.store.scratch(step.name, key.digest),
                lineage={"run": self.number, "stages": self._upstream(step.node)},
                beam_on=self.beam_on,
                prefetched=self._prefetched.get(step.name),
                previous=lambda: self.store.similar(step.name, parts, step.node.component.output),
                _log=lambda text: self.progress.message(step.name, text),
            )
            artifact: Artifact = step.node.component.function(**inputs, **step.node.settings, run=run)
            if step.node.component.kind == "always":
                disk.remove(run.scratch)
                return artifact
            if (completed := self._completed(step, inputs)) and completed.digest != key.digest:
                disk.remove(run.scratch)
                key = completed
            committed = self.store.commit(artifact, step.name, key.digest, key.parts, now())
            self._verified.add(committed.path)
            return committed

    def _completed(self, step: Step, inputs: dict[str, Artifact | None]) -> CacheKey | None:
        """The key with the input that the stage completed. For example, ingest prepares the dataset that it reads."""
        if (name := step.node.component.completes) is None:
            return None
        source = step.node.inputs[name]
        upstream = {each: self.artifacts[node.name] for each, node in source.inputs.items()}
        return CacheKey.of(step.node, inputs | {name: resolve(source, upstream)})

    def _start_prefetch(self, node: Node) -> None:
        """Starts processes of later stages while one of their inputs is computed."""
        for later in self.node.walk():
            if later.component.prefetch and later.name not in self._prefetched and node in later.inputs.values():
                self._prefetched[later.name] = self._handles.enter_context(later.component.prefetch())

    def _upstream(self, node: Node) -> dict[str, dict[str, Any]]:
        return {n.name: self._origins[n.name] for n in node.walk() if n is not node}

    def _set_origin(self, step: Step, artifact: Artifact | None) -> None:
        key: CacheKey | None = step.key
        self._origins[step.name] = {
            "key": _stored_at(step, artifact),
            "digest": artifact.digest if artifact else None,
            "settings": key.parts["settings"] if key else None,
            "versions": key.parts["versions"] if key else None,
            "facts": facts(artifact) if artifact else None,
        }

    def _record(self, step: Step, state: StageState, seconds: float, artifact: Artifact | None, why: str) -> None:
        key = _stored_at(step, artifact)
        place = {"path": str(artifact.path), "digest": artifact.digest, "facts": facts(artifact)} if artifact else {}
        self.lineage.executed(self.number, step.name, state=state, why=why, seconds=seconds, key=key, **place)
        self.progress.ended(step.name, state, why, seconds)


def _stored_at(step: Step, artifact: Artifact | None) -> str | None:
    """The key of the artifact in the store. It differs from the planned key if the stage completed its input."""
    if artifact and step.key and step.node.component.kind == "cached":
        return artifact.path.name
    return step.key.digest if step.key else None


# Beam pickles the steps, and an execution cannot be pickled: the steps, in this process, look it up by token.
_executions: dict[str, Execution] = {}


def _make(step: tuple[str, str], **_inputs: Any) -> Artifact | None:
    token, stage = step
    execution = _executions[token]
    node = next(each for each in execution.node.walk() if each.name == stage)
    try:
        return execution.make(node)
    except BaseException as error:
        execution.failure = error
        raise


def validated_beam(runner: str, arguments: list[str]) -> Beam:
    """The selected runner, validated before anything runs.

    Raises:
        ConfigurationError: Beam has no such runner, or an argument is not of the form --name=value.
    """
    if runner not in RUNNERS and "." not in runner:
        close = difflib.get_close_matches(runner, RUNNERS, 1)
        hint = f"Did you mean {close[0]}?" if close else f"Name one of {', '.join(RUNNERS)}, or its dotted path."
        raise ConfigurationError(f"Beam has no runner {runner}", hint)
    for argument in arguments:
        if not argument.startswith("--"):
            raise ConfigurationError(
                f"--beam-arg {argument} is not of the form --name=value",
                "For example: --beam-arg=--direct_num_workers=4",
            )
    return Beam(runner, tuple(arguments))
