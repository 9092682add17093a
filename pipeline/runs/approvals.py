"""Manual approval of models that passed every gate: requested by a run, decided by a person, recorded permanently.

approvals = Approvals(lineage, root)
approvals.request(3, approval)                                 # run 3 ended, and its model waits
approvals.decide(3, approved=True, by="ada", reason="...")
approvals.decided("/srv/serving/mnist", identity)              # Decision(run=3, approved=True, by="ada", ...)

`pipeline.runs.decisions` checks a decision, records it, and pushes the approved model.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from pipeline.config import Config
from pipeline.dag import stage_of
from pipeline.lineage import Lineage, now
from pipeline.lineage.states import RunState
from pipeline.lineage.tables import approvals as _approvals
from pipeline.lineage.tables import runs as _runs
from pipeline.serving import ModelDirectory
from schemas.artifacts import Approval, Decision, Evaluation
from schemas.errors import ConfigurationError, Refused

APPROVED, REJECTED = "approved", "rejected"


@dataclass(frozen=True)
class ApprovalRequest:
    """A model that waits for approval, and the decision on it, if there is one."""

    run: int  # the run that waits
    directory: Path  # the model directory to push to
    model: str  # its identity
    evaluation: str  # digest of the evaluation
    evaluated: str
    baseline: str | None  # digest of the served model that it was compared with
    decision: str | None  # APPROVED, REJECTED, or None
    person: str | None
    reason: str | None
    decided: str | None

    @property
    def superseded(self) -> str:
        """Why the request is void: the served model is not the one that it was compared with. Empty if it is valid."""
        latest = ModelDirectory(self.directory.parent, self.directory.name).latest()
        if latest and latest.identity == self.model:
            return f"version {latest.number} holds this model"
        if (latest.digest if latest else None) == self.baseline:
            return ""
        return (
            f"version {latest.number} is served now"
            if latest
            else "the version that it was compared with is no longer served"
        )

    def check(self, run: dict[str, Any], config: Config, by: str, reason: str) -> None:
        """Checks that a person may decide on the model, and that its evaluation is still valid. `run`: its row.

        Raises:
            ConfigurationError: the person is not among `push.approvers`, or name or reason is empty.
            Refused: it was already decided, another model is served now, or it was evaluated too long ago.
        """
        days, approvers = config.push.approval_days, config.push.approvers
        if not (by.strip() and reason.strip()):
            raise ConfigurationError(
                "a decision is final and needs a name and a reason", "Add --by NAME --reason TEXT."
            )
        if approvers is not None and by not in approvers:
            cause = f"{by} may not decide: push.approvers names {', '.join(approvers)}"
            raise ConfigurationError(cause, "Ask one of them.")
        if self.decision:
            decided = (self.decided or "")[:10]
            cause = f"run {self.run} was {self.decision} by {self.person} on {decided}: {self.reason}"
            remedy = f"If it was not pushed yet, the next run pushes it: {run['command']}"
            raise Refused(cause, remedy if self.decision == APPROVED else "The decision is final. Train a new model.")
        if why := self.superseded:
            raise Refused(f"run {self.run} is superseded: {why}", f"Evaluate again: {run['command']}")
        age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(self.evaluated)
        if age > datetime.timedelta(days=days):
            days_ago = f"{age / datetime.timedelta(days=1):.1f} days"
            cause = f"run {self.run} was evaluated {days_ago} ago; push.approval_days is {days:g}"
            raise Refused(cause, f"Evaluate again: {run['command']} --force {stage_of(Evaluation)}")

    def as_json(self) -> dict[str, Any]:
        """As JSON values, with the keys of version 0.1."""
        values = {name: value for name, value in vars(self).items() if name not in ("run", "directory")}
        superseded = "" if self.decision else self.superseded
        return {"run": self.run, "shelf": str(self.directory), **values, "overtaken": superseded}


@dataclass(frozen=True)
class Approvals:
    """Requests and decisions in a lineage.

    A model directory below ROOT is stored relative to ROOT, so that both can be moved together.
    """

    lineage: Lineage
    root: Path

    def request(self, run: int, approval: Approval) -> None:
        """Records that the model of a run waits for approval."""
        values = {name: getattr(approval, name) for name in ("model", "evaluation", "evaluated", "baseline")}
        with self.lineage.writing() as c:
            directory = self._relative(approval.directory)
            c.execute(_approvals.insert().values(run=run, directory=directory, **values))

    def decide(self, run: int, *, approved: bool, by: str, reason: str) -> None:
        """Records the final decision, and sets the state of the run that waited.

        Raises:
            Refused: someone else has decided in the meantime.
        """
        state = RunState.APPROVED if approved else RunState.REFUSED
        message = (
            f"approved by {by}: {reason}"
            if approved
            else f"refused: {by} rejected this model: {reason}\n  Train a new model."
        )
        decision = {
            "decision": APPROVED if approved else REJECTED,
            "person": by,
            "reason": reason,
            "decided": now(),
        }
        with self.lineage.writing() as c:
            pending = (_approvals.c.run == run) & _approvals.c.decision.is_(None)
            if not c.execute(_approvals.update().where(pending).values(**decision)).rowcount:
                raise Refused(f"someone else has just decided on run {run}", "See python -m pipeline approvals.")
            outcome = {"state": state, "exit_code": 0 if approved else Refused.exit_code, "message": message}
            c.execute(_runs.update().where(_runs.c.run == run).values(**outcome))

    def decided(self, directory: str, model: str) -> Decision | None:
        """The last decision on a model (its identity) for a model directory (its path), or None."""
        runs_of_store = sql.select(_runs.c.run).where(
            _runs.c.store == self.lineage.store
        )  # stores may share a database, and each may have its serving directory below ROOT
        same_directory = (_approvals.c.directory == directory) | (
            (_approvals.c.directory == self._relative(directory)) & _approvals.c.run.in_(runs_of_store)
        )
        decisions = same_directory & (_approvals.c.model == model) & _approvals.c.decision.is_not(None)
        with self.lineage.reading() as c:
            row = (
                c.execute(_approvals.select().where(decisions).order_by(_approvals.c.run.desc()).limit(1))
                .mappings()
                .first()
            )
        if row is None:
            return None
        return Decision(
            run=row["run"],
            approved=row["decision"] == APPROVED,
            evaluation=row["evaluation"],
            by=row["person"],
            reason=row["reason"],
            at=row["decided"],
        )

    def requests(self, limit: int | None = None) -> list[ApprovalRequest]:
        """The requests, the newest first."""
        with self.lineage.reading() as c:
            rows = c.execute(_approvals.select().order_by(_approvals.c.run.desc()).limit(limit)).mappings()
            return [self._request(dict(row)) for row in rows]

    def request_of(self, run: int) -> ApprovalRequest:
        """The request of a run.

        Raises:
            ConfigurationError: the run does not wait for approval.
        """
        with self.lineage.reading() as c:
            row = c.execute(_approvals.select().where(_approvals.c.run == run)).mappings().first()
        if row is None:
            raise ConfigurationError(f"run {run} does not wait for approval", "See python -m pipeline approvals.")
        return self._request(dict(row))

    def _request(self, row: dict[str, Any]) -> ApprovalRequest:
        return ApprovalRequest(directory=self.root.absolute() / row.pop("shelf"), **row)  # the name of the column

    def _relative(self, directory: str) -> str:
        root = self.root.absolute()
        return str(Path(directory).relative_to(root)) if Path(directory).is_relative_to(root) else directory
