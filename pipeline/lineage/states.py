"""States of a run and of the execution of a stage, as they are stored in the lineage."""

import enum


class RunState(enum.StrEnum):
    """State of a run. All are final except `RUNNING` and `WAITING`, which ends with a decision."""

    RUNNING = "running"
    PUSHED = "pushed"  # a new version is served
    UNCHANGED = "unchanged"  # the same model was already served
    WAITING = "waiting"  # for manual approval
    APPROVED = "approved"  # after `WAITING`; another run pushed the model
    PARTIAL = "partial"  # ended with the stage of --until or --only
    TUNED = "tuned"
    DRAFTED = "drafted"
    REFUSED = "refused"  # by a gate
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    KILLED = "killed"  # its process ended without recording an outcome

    @property
    def succeeded(self) -> bool:
        return self not in (RunState.REFUSED, *UNFINISHED)


# States of runs that may have left unrecorded artifacts.
UNFINISHED = (RunState.RUNNING, RunState.FAILED, RunState.INTERRUPTED, RunState.KILLED)


class StageState(enum.StrEnum):
    """State of one stage in one run."""

    RAN = "ran"
    REUSED = "reused"
    FAILED = "failed"
