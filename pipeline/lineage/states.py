"""States of a run and of a stage's execution, as they are stored in the lineage."""

import enum


class RunState(enum.StrEnum):
    """State of a run. All but `RUNNING` are final, and `WAITING` ends with a decision."""

    RUNNING = "running"
    PUSHED = "pushed"  # a new version is served
    UNCHANGED = "unchanged"  # the same model was already served
    WAITING = "waiting"  # for manual approval
    APPROVED = "approved"  # it waited, and was approved; another run pushed the model
    PARTIAL = "partial"  # ended with the stage named by --until or --only
    TUNED = "tuned"
    DRAFTED = "drafted"
    REFUSED = "refused"  # by a gate
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    KILLED = "killed"  # its process ended without recording an outcome

    @property
    def succeeded(self) -> bool:
        return self not in (RunState.REFUSED, *UNFINISHED)


# Runs that may have left artifacts that they did not record.
UNFINISHED = (RunState.RUNNING, RunState.FAILED, RunState.INTERRUPTED, RunState.KILLED)


class StageState(enum.StrEnum):
    """State of one stage in one run."""

    RAN = "ran"
    REUSED = "reused"
    FAILED = "failed"
