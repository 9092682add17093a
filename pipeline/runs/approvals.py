"""Manual approval of models that passed every gate: requested by a run, decided by a person, recorded permanently.

approvals = Approvals(lineage, root)
approvals.request(3, approval)                                 # run 3 ended, and its model waits
approvals.decide(3, approved=True, by="ada", reason="...")
approvals.decided("/srv/serving/mnist", identity)              # Decision(run=3, approved=True, by="ada", ...)
"""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from pipeline.config import Config
from pipeline.lineage import Lineage, now
from pipeline.lineage.states import RunState
from pipeline.lineage.tables import approvals as _approvals
from pipeline.lineage.tables import runs as _runs
from pipeline.serving import ModelDirectory
from schemas.artifacts import Approval, Decision
from schemas.errors import ConfigurationError, Refused


@dataclass(frozen=True)
class Approvals:
    """Requests and decisions in a lineage. Rows are dicts of JSON values.

    A model directory below ROOT is stored relative to ROOT, so that both can be moved together.
    """

    lineage: Lineage
    root: Path

    def request(self, run: int, approval: Approval) -> None:
        """Records that the model of a run waits for approval."""
        names = ("shelf", "model", "evaluation", "evaluated", "baseline")
        with self.lineage.writing() as c:
            values = {name: getattr(approval, name) for name in names}
            c.execute(_approvals.insert().values(run=run, **values | {"shelf": self._relative(approval.shelf)}))

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
            "decision": "approved" if approved else "rejected",
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

    def decided(self, shelf: str, model: str) -> Decision | None:
        """The last decision on a model (its identity) for a model directory (its path), or None."""
        runs_of_store = sql.select(_runs.c.run).where(
            _runs.c.store == self.lineage.store
        )  # stores may share a database, and each may have its serving directory below ROOT
        same_directory = (_approvals.c.shelf == shelf) | (
            (_approvals.c.shelf == self._relative(shelf)) & _approvals.c.run.in_(runs_of_store)
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
            approved=row["decision"] == "approved",
            evaluation=row["evaluation"],
            by=row["person"],
            reason=row["reason"],
            at=row["decided"],
        )

    def rows(self, limit: int | None = None) -> list[dict[str, Any]]:
        """The requests, the newest first."""
        with self.lineage.reading() as c:
            rows = c.execute(_approvals.select().order_by(_approvals.c.run.desc()).limit(limit)).mappings()
            return [dict(row) | {"shelf": self._absolute(row["shelf"])} for row in rows]

    def row(self, run: int) -> dict[str, Any]:
        """The request of a run.

        Raises:
            ConfigurationError: the run does not wait for approval.
        """
        with self.lineage.reading() as c:
            row = c.execute(_approvals.select().where(_approvals.c.run == run)).mappings().first()
        if row is None:
            raise ConfigurationError(f"run {run} does not wait for approval", "See python -m pipeline approvals.")
        return dict(row) | {"shelf": self._absolute(row["shelf"])}

    def _relative(self, shelf: str) -> str:
        root = self.root.absolute()
        return str(Path(shelf).relative_to(root)) if Path(shelf).is_relative_to(root) else shelf

    def _absolute(self, shelf: str) -> str:
        return str(self.root.absolute() / shelf)


def superseded_reason(row: dict[str, Any]) -> str:
    """Why a request is void: the served model is not the one that it was compared with. Empty if it is valid."""
    shelf = ModelDirectory(Path(row["shelf"]).parent, Path(row["shelf"]).name)
    latest = shelf.latest()
    if latest and latest.identity == row["model"]:
        return f"version {latest.number} holds this model"
    if (latest.digest if latest else None) == row["baseline"]:
        return ""
    return (
        f"version {latest.number} is served now"
        if latest
        else "the version that it was compared with is no longer served"
    )


def check(row: dict[str, Any], run: dict[str, Any], config: Config, by: str, reason: str) -> None:
    """Checks that a person may decide on the model of a run, and that its evaluation is still valid.

    Raises:
        ConfigurationError: the person is not among `push.approvers`, or name or reason is empty.
        Refused: it was already decided, another model is served now, or it was evaluated too long ago.
    """
    number, days = row["run"], config.push.approval_days
    if not (by.strip() and reason.strip()):
        raise ConfigurationError("a decision is final and needs a name and a reason", "Add --by NAME --reason TEXT.")
    if config.push.approvers is not None and by not in config.push.approvers:
        raise ConfigurationError(
            f"{by} may not decide: push.approvers names {', '.join(config.push.approvers)}", "Ask one of them."
        )
    if row["decision"]:
        cause = f"run {number} was {row['decision']} by {row['person']} on {row['decided'][:10]}: {row['reason']}"
        remedy = f"If it was not pushed yet, the next run pushes it: {run['command']}"
        raise Refused(cause, remedy if row["decision"] == "approved" else "The decision is final. Train a new model.")
    if why := superseded_reason(row):
        raise Refused(f"run {number} is superseded: {why}", f"Evaluate again: {run['command']}")
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(row["evaluated"])
    if age > datetime.timedelta(days=days):
        days_ago = f"{age / datetime.timedelta(days=1):.1f} days"
        cause = f"run {number} was evaluated {days_ago} ago; push.approval_days is {days:g}"
        raise Refused(cause, f"Evaluate again: {run['command']} --force evaluate")
