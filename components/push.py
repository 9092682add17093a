"""push: publishes a model that passed every gate to the serving directory."""

from dataclasses import asdict, replace

from components._training import saved_model
from pipeline.engine.component import StageRun, Unkeyed, component
from pipeline.serving import ModelDirectory, Version, rollout, signing
from schemas import statistics as stats
from schemas.artifacts import WARMUP, Approval, Evaluation, Model, Pushed, Served, ServingCheck, Statistics
from schemas.artifacts.data import STATISTICS
from schemas.errors import GatelineError, Refused
from schemas.settings.push import Signing, Watch


@component(kind="always")
def push(
    model: Model,
    evaluation: Evaluation,
    serving: ServingCheck,
    statistics: Statistics,
    baseline: Served | None,
    approval: Approval,
    *,
    keep: int,
    directory: Unkeyed[ModelDirectory],
    signatures: Unkeyed[Signing | None] = None,
    watched: Unkeyed[Watch | None] = None,
    labels: Unkeyed[list[str] | None] = None,
    run: StageRun,
) -> Pushed:
    """The version that holds the model: a new one, or the latest if it holds the same model. Deletes older versions
    than the newest `keep`. Writes the version's provenance and its `labels`, in their order.

    Raises:
        Refused: the model on disk is not the evaluated one; or another was pushed since the comparison; or it was
            rolled back meanwhile; or the served version lacks a signature; or TensorFlow Serving did not load it.
        StoreError: the serving directory cannot be written, holds foreign content, or TensorFlow cannot load from it.
    """
    for gate in (evaluation, serving, approval):
        gate.require_passed("push")
    provenance = {
        "model": model.digest,
        "identity": model.identity or model.digest,
        "gates": [asdict(gate) for gate in evaluation.gates()],
        "accuracy": evaluation.accuracy,
        "labels": labels,
        "test": evaluation.test,
        "watch": watched.url if watched else None,
        "approved": {"by": approval.by, "reason": approval.reason, "at": approval.at} if approval.by else None,
        **run.lineage,
    }
    directory = replace(directory, seal=signing.seal(signatures))
    if now := directory.latest():
        signing.require(now.path, signatures)
    version, new = directory.publish(
        model.path / "saved_model",
        {stats.SERVED: statistics.path / STATISTICS, WARMUP: serving.path / WARMUP},
        provenance,
        expected=evaluation.saved_model,
        compared=baseline.digest if baseline else None,
        check=saved_model.check_loadable,
    )
    if watched and directory.needs_rollout_check(version):
        if why := rollout.watch(watched, directory.model, version.number):
            raise _not_served(directory, version, why, watched)
        directory.mark_checked(version)
    removed = [str(each.number) for each in directory.apply_retention(keep)]
    run.log(_message(version, new, removed))
    return Pushed(version.path, digest=version.digest, version=version.number, new=new)


def _not_served(directory: ModelDirectory, version: Version, why: str, watched: Watch) -> Refused:
    """The refusal, after the previously served model is served again."""
    cause = f"version {version.number} was pushed, but {watched.url} does not serve it: {why}"
    if not watched.rollback:
        remedy = "It was not rolled back, because push.watch.rollback is false. To roll it back: "
        remedy += directory.command("rollback")
        return Refused(cause, remedy)
    try:
        back = directory.rollback(reason=why)
    except GatelineError as error:  # the failed rollback is not the reason of the refusal
        return Refused(cause, f"It could not be rolled back: {error.cause}. {error.remedy}")
    return Refused(cause, f"It was rolled back: version {back.number} is the model that was served before.")


def _message(version: Version, new: bool, removed: list[str]) -> str:
    message = f"version {version.number}" if new else f"version {version.number} already holds this model"
    return message + (f", version{'s'[: len(removed) != 1]} {', '.join(removed)} removed" if removed else "")
