"""The errors a user may see: one line of cause, one of remedy, and an exit code.

Four kinds: the user's configuration (`ConfigurationError`, `WiringError`, `StoreError`: 2), the user's data (`DataError`: 4), the
environment (`EnvironmentFailure`: 75, may pass, is retried), and defects (any other exception: 1). A gate's refusal is an outcome.

raise DataError("train-00002-of-00004.tfrecord ends in the middle of record 8,113", "Run again with --force ingest.")
"""


class GatelineError(Exception):
    """A failure with a known cause. `cause` says what came and what was expected; `remedy` the way out."""

    exit_code = 1
    kind = "error"
    retryable = False  # whether the same command may succeed later, with nothing changed

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause, self.remedy = cause, remedy

    def __str__(self) -> str:
        return f"{self.kind}: {self.cause}" + (f"\n  {self.remedy}" if self.remedy else "")

    def shortened(self, most: int) -> str:
        """As `str`, of about `most` characters: the last causes are counted only, and the remedy stays."""
        room = most - len(self.kind) - len(self.remedy)
        lines = self.cause.split("\n")
        while len(lines) > 1 and len("\n".join(lines)) > room:
            lines.pop()
        more = self.cause.count("\n") + 1 - len(lines)
        cause = "\n".join(lines) if len(lines) > 1 or len(lines[0]) <= room else f"{lines[0][:room]}…"
        return str(type(self)(cause + (f"\n{' ' * 9}and {more} more" if more else ""), self.remedy))


class ConfigurationError(GatelineError):
    """Configuration or usage: refused before anything runs."""

    exit_code = 2
    kind = "configuration"


class WiringError(GatelineError):
    """The DAG does not fit together: refused before anything runs."""

    exit_code = 2
    kind = "wiring"


class Refused(GatelineError):
    """A gate refused the model."""

    exit_code = 3
    kind = "refused"


class Waiting(GatelineError):
    """Nothing is wrong: the model waits for a person."""

    exit_code = 0
    kind = "waiting"


class DataError(GatelineError):
    """The data is damaged, absent, or breaks its contract."""

    exit_code = 4
    kind = "data"


class Locked(GatelineError):
    """Another run holds the lock."""

    exit_code = 5
    kind = "locked"
    retryable = True


class EnvironmentFailure(GatelineError):
    """The network, a disk, memory or another service failed: nothing is wrong with the data or the configuration."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: "the user is invited to retry"
    kind = "environment"
    retryable = True


class Interrupted(GatelineError):
    """The user pressed Ctrl-C, or the process was asked to end."""

    exit_code = 130
    kind = "interrupted"

    def __init__(
        self, cause: str = "finished stages are kept", remedy: str = "The next run goes on from them."
    ) -> None:
        super().__init__(cause, remedy)


class StoreError(GatelineError):
    """The store or the serving directory cannot be read or written."""

    exit_code = 2
    kind = "store"
