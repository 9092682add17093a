"""The Python API: configure, plan and run the line, and read runs and their artifacts.

>>> import gateline
>>> config = gateline.configure("sample", sets=["train.epochs=3"])
>>> [step.name for step in gateline.plan(config)][-1]
'push'

`gateline.run(config)` returns a `Run`. `gateline.Run(7)` is an earlier one: `Run(7).evaluation.gates()`.

A custom stage is a function decorated with `@component`; see `docs/how-to/extend.md`. Commands and scripts run the same
code.
"""

from __future__ import annotations

import functools
import importlib
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from pipeline import DEFAULT_ROOT
from schemas.artifacts import Artifact, Evaluation, Examples, Gate, GateResult, Model, Pushed, Statistics
from schemas.errors import (
    ConfigurationError,
    DataError,
    EnvironmentFailure,
    GatelineError,
    Interrupted,
    Locked,
    Refused,
    StoreError,
    WiringError,
)

if TYPE_CHECKING:
    from components.sources.custom import ImageSource, Row
    from pipeline.config import Config, profiles
    from pipeline.engine.component import StageRun, Unkeyed, component
    from pipeline.engine.plan import Rerun, Step
    from pipeline.engine.runner import Beam
    from pipeline.lineage import Lineage
    from pipeline.lineage.states import RunState
    from pipeline.notify.channels import Undelivered
    from pipeline.runs.line_run import LineOptions
    from schemas.gates import Ceiling, Floor, Measured, Share
    from schemas.settings.base import FilePath, Settings

__all__ = [
    "Artifact", "Beam", "Ceiling", "Config", "ConfigurationError", "DataError", "EnvironmentFailure", "Evaluation",
    "Examples", "FilePath", "Floor", "Gate", "GateResult", "GatelineError", "ImageSource", "Interrupted", "Locked",
    "Measured", "Model", "Options", "Pushed", "Refused", "Rerun", "Row", "Run", "RunState", "Settings",
    "Share", "StageRun", "Statistics", "Step", "StoreError", "Undelivered", "Unkeyed", "WiringError", "component",
    "configure", "plan", "profiles", "run", "runs",
]  # fmt: skip
__version__ = version("gateline")

# Imported when they are used: the configuration imports installed gates and channels, which import this module.
_DEFINED_IN = {
    "components.sources.custom": "ImageSource Row",
    "pipeline.config": "Config profiles",
    "pipeline.engine.component": "StageRun Unkeyed component",
    "pipeline.engine.plan": "Rerun Step",
    "pipeline.engine.runner": "Beam",
    "pipeline.lineage.states": "RunState",
    "pipeline.notify.channels": "Undelivered",
    "schemas.gates": "Ceiling Floor Measured Share",
    "schemas.settings.base": "FilePath Settings",
}
if not TYPE_CHECKING:  # a type checker would take any name for an existing one

    def __getattr__(name: str) -> Any:
        for module, names in _DEFINED_IN.items():
            if name in names.split():
                globals()[name] = value = getattr(importlib.import_module(module), name)
                return value
        raise AttributeError(f"module 'gateline' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


A = TypeVar("A", bound=Artifact)


class Options(TypedDict, total=False):
    """Keyword options of `plan` and `run`, the same as those of the command `run`."""

    database: str | None  # SQLAlchemy URL of the lineage
    rerun: Rerun  # the stages that run even if nothing changed
    until: str | None  # the last stage to run
    only: str | None  # the one stage to run
    hold: str | None  # runs with the same name share pinned inputs
    beam_on: Beam  # the Beam runner and its arguments
    wait: bool  # wait while another run holds the lock, instead of raising Locked
    verbose: bool


def configure(profile: str | None = None, *, file: str | Path | None = None, sets: Iterable[str] = ()) -> Config:
    """The configuration of a shipped profile or of a YAML file, with overrides such as "train.epochs=3".

    By default, `gateline.yaml` in the current directory if it exists, else the profile "sample".

    Raises:
        ConfigurationError: no such profile or file, an unknown setting, or a value of the wrong type or range.
    """
    from pipeline.config import load, selected

    profile, path = selected(profile, Path(file).expanduser() if file else None)
    return load(profile=profile, file=path, sets=list(sets))


def plan(
    config: Config,
    *,
    root: str | Path = DEFAULT_ROOT,
    serving_dir: str | Path | None = None,
    **options: Unpack[Options],
) -> list[Step]:
    """The plan of `run`: each stage with its action ("run", "reuse", ...) and the reason. Runs nothing.

    Raises:
        ConfigurationError: a stage of `until` or `only` does not exist, or the dataset is unknown.
    """
    from pipeline.runs import line_run

    return line_run.plan(config, _line_options(root, serving_dir, options))


def run(
    config: Config,
    *,
    root: str | Path = DEFAULT_ROOT,
    serving_dir: str | Path | None = None,
    **options: Unpack[Options],
) -> Run:
    """Runs the line and returns the finished run.

    `root`, `serving_dir`: the same as `--root` and `--serving-dir`. `options`: see `Options`. Prints the progress;
    TensorFlow's messages go to `root/logs`.

    Raises:
        Refused: a gate refused the model. The run is recorded; `runs()[0].message` has the reason.
        DataError: the data violates its contract.
        Locked: another run writes to `root`.
        GatelineError: the base class of all errors with a known cause.
    """
    from pipeline.runs import line_run

    line_options = _line_options(root, serving_dir, options)
    command = shlex.join(sys.argv) if sys.argv[0] else "python"
    outcome = line_run.run(config, line_options, name=config.push.model or config.source.name, command=command)
    return Run(outcome.run, root=line_options.root, database=line_options.database)


def runs(*, root: str | Path = DEFAULT_ROOT, database: str | None = None, limit: int | None = None) -> list[Run]:
    """The runs of a store, the newest first.

    >>> [(run.number, run.state.value) for run in gateline.runs(root=root)]
    [(1, 'pushed')]

    Raises:
        ConfigurationError: there is no store at `root`.
    """
    path = Path(root).expanduser()
    return [Run(row["run"], root=path, database=database) for row in _lineage(path, database).runs(limit)]


@dataclass(frozen=True)
class Run:
    """A recorded run: its outcome, and the artifacts of its stages.

    >>> run = gateline.Run(1, root=root)
    >>> run.state, run.profile
    (<RunState.PUSHED: 'pushed'>, 'mnist')
    >>> [gate.name for gate in run.evaluation.gates() if not gate.passed]
    []

    Raises:
        ConfigurationError: there is no store at `root`, or no such run.
    """

    number: int
    root: str | Path = DEFAULT_ROOT
    database: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).expanduser())
        if self._row is None:
            raise ConfigurationError(f"there is no run {self.number} in {self.root}", "List them with gateline.runs().")

    @property
    def state(self) -> RunState:
        """The outcome. `RunState.RUNNING` while the run is in progress."""
        from pipeline.lineage.states import RunState

        return RunState(self._recorded["state"])

    @property
    def profile(self) -> str:
        return str(self._recorded["profile"])

    @property
    def message(self) -> str:
        """The error or refusal, with its remedy. Empty after success."""
        return str(self._recorded["message"] or "")

    @property
    def started(self) -> str:
        """UTC, ISO 8601."""
        return str(self._recorded["started"])

    @property
    def finished(self) -> str | None:
        """UTC, ISO 8601. None while the run is in progress."""
        return self._recorded["finished"] or None

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration of the run, as JSON values."""
        return dict(self._recorded["config"])

    @property
    def stages(self) -> list[dict[str, Any]]:
        """A row for each stage: stage, state ("ran", "reused", "failed"), why, seconds, key, digest, path."""
        return _lineage(Path(self.root), self.database).executions(self.number)

    def artifact(self, stage: str) -> Artifact | None:
        """The artifact of a stage in this run. None if the run did not reach the stage, or if the artifact was deleted.

        Raises:
            DataError: a file of the artifact is missing or truncated.
        """
        return next((self._load(row) for row in self.stages if row["stage"] == stage), None)

    @property
    def evaluation(self) -> Evaluation | None:
        """Gates, metrics, comparisons and predictions. None if the run did not reach the evaluation."""
        return self._last(Evaluation)

    @property
    def model(self) -> Model | None:
        """The trained model and its training history."""
        return self._last(Model)

    @property
    def statistics(self) -> Statistics | None:
        """Statistics of the data that the model was trained on."""
        return self._last(Statistics)

    @property
    def examples(self) -> Examples | None:
        """The records that the model was trained and tested on."""
        return self._last(Examples)

    def _last(self, kind: type[A]) -> A | None:
        """The last artifact of this type: mix's statistics come after describe's."""
        return next((artifact for row in reversed(self.stages) if isinstance(artifact := self._load(row), kind)), None)

    def _load(self, row: dict[str, Any]) -> Artifact | None:
        if not (row["key"] and row["digest"]):
            return None
        from pipeline.dag import outputs
        from pipeline.store import Store

        artifact = Store(Path(self.root)).find(row["stage"], row["key"], outputs().get(row["stage"], Artifact))
        return artifact if artifact and artifact.digest == row["digest"] else None

    @functools.cached_property
    def _row(self) -> dict[str, Any] | None:
        return _lineage(Path(self.root), self.database).run(self.number)

    @property
    def _recorded(self) -> dict[str, Any]:
        """The row of the run. Read again while the run is in progress."""
        from pipeline.lineage.states import RunState

        row = self._row or {}
        if row.get("state") == RunState.RUNNING:
            row = _lineage(Path(self.root), self.database).run(self.number) or row
        return row


def _line_options(root: str | Path, serving_dir: str | Path | None, options: Options) -> LineOptions:
    from pipeline.runs.line_run import LineOptions

    served = Path(serving_dir).expanduser() if serving_dir else None
    return LineOptions(Path(root).expanduser(), serving_dir=served, **options)


def _lineage(root: Path, database: str | None) -> Lineage:
    from pipeline.runs.lookup import lineage_at

    return lineage_at(root, database)
