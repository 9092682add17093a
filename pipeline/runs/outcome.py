"""The outcome of a run of the line that ended without an error."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import DEFAULT_ROOT
from pipeline.lineage.states import RunState
from pipeline.store import facts
from schemas.artifacts import Approval, Artifact, Pushed
from schemas.errors import Waiting
from schemas.redact import without_passwords


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
