"""The errors a user may see: a line of cause, a line of remedy, and an exit code.

Four kinds: the user's configuration (`ConfigurationError`, `WiringError`, `StoreError`: 2), the user's data
(`DataError`: 4), the environment (`EnvironmentFailure`: 75, retryable), and defects (any other exception: 1). A gate's
refusal is an outcome (`Refused`: 3).

raise DataError("train-00002-of-00004.tfrecord ends in the middle of record 8,113", "Run again with --force ingest.")
"""

import errno
from collections.abc import Iterator


class GatelineError(Exception):
    """A failure with a known cause. `cause` states what happened and what was expected; `remedy` states what to do."""

    exit_code = 1
    kind = "error"
    retryable = False  # True if the same command may succeed later without a change

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause, self.remedy = cause, remedy

    def __str__(self) -> str:
        return f"{self.kind}: {self.cause}" + (f"\n  {self.remedy}" if self.remedy else "")

    def shortened(self, most: int) -> str:
        """As `str`, in about `most` characters: the last causes are only counted, and the remedy is kept."""
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
    """Nothing is wrong: the model waits for approval."""

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
    """The network, a disk, memory or another service failed. The data and the configuration are not at fault."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: "the user is invited to retry"
    kind = "environment"
    retryable = True

    @classmethod
    def of(cls, error: BaseException, remedy: str) -> "EnvironmentFailure":
        return cls(f"{type(error).__name__}: {last_line(error)}", remedy)


class Interrupted(GatelineError):
    """The user pressed Ctrl-C, or the process was asked to end."""

    exit_code = 130
    kind = "interrupted"

    def __init__(
        self, cause: str = "finished stages are kept", remedy: str = "The next run continues from them."
    ) -> None:
        super().__init__(cause, remedy)


class StoreError(GatelineError):
    """The store or the serving directory cannot be read or written."""

    exit_code = 2
    kind = "store"
    retryable = True  # a volume that is not mounted yet, a disk that is full


_TRANSIENT = {
    errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EDQUOT, errno.EHOSTDOWN,
    errno.EHOSTUNREACH, errno.EIO, errno.EMFILE, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.ENFILE,
    errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC, errno.ENOTCONN, errno.EPIPE, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip
# Errors of libraries by name, so that they need not be imported: sockets and urllib, requests and urllib3, TensorFlow.
_TRANSIENT_NAMES = {
    "gaierror", "herror", "URLError", "ContentTooShortError", "IncompleteRead", "RemoteDisconnected",
    "ConnectTimeout", "ReadTimeout", "ChunkedEncodingError", "MaxRetryError", "NewConnectionError", "ProtocolError",
    "UnavailableError", "DeadlineExceededError", "ResourceExhaustedError", "AbortedError", "DownloadError",
}  # fmt: skip


def is_transient(error: BaseException) -> bool:
    """True if the network, a disk, memory or another service failed, as far as the error and its causes tell."""
    return any(_is_transient(each) for each in causes(error))


def last_line(error: BaseException) -> str:
    """The last line of an error's text: where TensorFlow, TFDS and others put the cause. The error's class if empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and the errors that caused it."""
    known: list[BaseException] = []
    while error is not None and error not in known:
        known.append(error)
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, GatelineError):
        return error.retryable
    if type(error).__name__ == "HTTPError":  # of urllib, requests: the server answered
        status = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None) or 0
        return status in (408, 429) or status >= 500
    if isinstance(error, MemoryError | ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError) and error.errno in _TRANSIENT:
        return True
    return bool(_TRANSIENT_NAMES & {kind.__name__ for kind in type(error).__mro__})
