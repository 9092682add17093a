"""approve: manual approval of a model that passed every gate."""

import datetime
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

from pipeline.engine.component import StageRun, Unkeyed, component
from pipeline.serving import ModelDirectory
from schemas import files
from schemas.artifacts import Approval, Decision, Evaluation, Model, Served, ServingCheck
from schemas.settings.push import Push

Decided = Callable[[str, str], Decision | None]  # of (directory, model's identity): the last decision


@component(kind="always")
def approve(
    model: Model,
    evaluation: Evaluation,
    serving: ServingCheck,
    baseline: Served | None,
    *,
    settings: Push,
    decided: Unkeyed[Decided | None],
    directory: Unkeyed[ModelDirectory],
    run: StageRun,
) -> Approval:
    """Passes unless the model was rejected or rolled back, or `push.approval` is manual and nobody has approved it yet.

    An approval is valid for the evaluation that was shown, for `push.approval_days`. A served model needs no new one.
    """
    for gate in (evaluation, serving):
        gate.require_passed("approve")
    approval = Approval(
        evaluation.path,
        passed=True,
        model=model.identity or model.digest,
        evaluation=evaluation.digest,
        evaluated=json.loads((evaluation.path / files.MANIFEST).read_text(encoding="utf-8"))["made"],
        baseline=baseline.digest if baseline else None,
        directory=str(directory.path.absolute()),
    )
    decision = decided(approval.directory, approval.model) if decided else None
    approval = _decided_approval(approval, decision, directory, settings)
    if approval.reasons or approval.by:
        run.log(approval.reasons[0] if approval.reasons else f"approved by {approval.by}")
    identity = json.dumps([approval.model, approval.evaluation, approval.reasons, approval.by, approval.at])
    return replace(approval, digest=hashlib.sha256(identity.encode()).hexdigest())


def _decided_approval(
    approval: Approval, decision: Decision | None, directory: ModelDirectory, settings: Push
) -> Approval:
    if (latest := directory.latest()) and latest.identity == approval.model:
        return approval
    if rolled_back := directory.rolled_back().get(approval.model):
        cause, remedy = directory.rolled_back_message(rolled_back)
        return replace(approval, passed=False, reasons=(cause,), remedy=remedy)
    if decision:
        approval = replace(approval, by=decision.by, reason=decision.reason, at=decision.at)
        if not decision.approved:
            why = f"{decision.by} rejected this model (run {decision.run}): {decision.reason}"
            return replace(approval, passed=False, reasons=(why,), remedy="Train a new model. Nothing was pushed.")
    if settings.approval == "auto":
        return replace(approval, by="", reason="", at="")
    if why := _open(approval, decision, settings.approval_days):
        return replace(approval, passed=False, waiting=True, reasons=(why,), by="", reason="", at="")
    return approval


def _open(approval: Approval, decision: Decision | None, days: float) -> str:
    """Why a decision is needed; empty if there is one on this evaluation that has not expired."""
    if decision is None:
        return "the model passed every gate and waits for approval"
    model = f"the model that {decision.by} approved in run {decision.run}"
    if decision.evaluation != approval.evaluation or _moment(decision.at) < _moment(approval.evaluated):
        return f"{model} was evaluated again since and waits for approval again"
    if datetime.datetime.now(datetime.UTC) - _moment(decision.at) > datetime.timedelta(days=days):
        again = f"--force {files.stage_of(approval.path)}"
        return f"{model} was approved more than {days:g} days ago, and waits for a new evaluation ({again})"
    return ""


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
