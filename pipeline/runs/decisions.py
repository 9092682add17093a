"""A person's decision on a model that waits: checked, recorded, and for an approval, pushed."""

import json
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.dag import stage_of
from pipeline.engine.pinned import by_run
from pipeline.runs import line_run
from pipeline.runs.approvals import ApprovalRequest, Approvals
from pipeline.runs.lookup import lineage_at, run_of
from pipeline.runs.outcome import Outcome
from schemas.artifacts import Pushed


def approve(
    number: int,
    *,
    by: str,
    reason: str,
    root: Path,
    database: str | None = None,
    command: str,
    verbose: bool = False,
) -> Outcome:
    """Approves the model of a run that waits, and pushes it. The decision is final, the outcome that of the push.

    Raises:
        ConfigurationError: there is no such run or request, or the person may not decide.
        Refused: it was already decided, or the evaluation is no longer valid.
        GatelineError: the model cannot be pushed. If planning shows it, no decision was recorded.
    """
    approvals, request, run, config = _checked(number, by, reason, root, database)
    options = line_run.LineOptions(
        root,
        serving_dir=request.directory.parent,
        database=database,
        only=stage_of(Pushed),
        hold=by_run(number),
        wait=True,
        verbose=verbose,
    )
    line_run.plan(config, options)  # approval is final, so first check that the model can be pushed
    approvals.decide(number, approved=True, by=by, reason=reason)
    return line_run.run(config, options, name=run["profile"], command=command)


def reject(number: int, *, by: str, reason: str, root: Path, database: str | None = None) -> None:
    """Rejects the model of a run that waits. The decision is final.

    Raises:
        ConfigurationError: there is no such run or request, or the person may not decide.
        Refused: it was already decided, or the evaluation is no longer valid.
    """
    approvals, *_ = _checked(number, by, reason, root, database)
    approvals.decide(number, approved=False, by=by, reason=reason)


def _checked(
    number: int, by: str, reason: str, root: Path, database: str | None
) -> tuple[Approvals, ApprovalRequest, dict[str, Any], Config]:
    lineage = lineage_at(root, database)
    approvals, run = Approvals(lineage, root), run_of(lineage, number, root)
    request, config = approvals.request_of(number), Config.model_validate_json(json.dumps(run["config"]))
    request.check(run, config, by, reason)
    return approvals, request, run, config
