"""Redirects messages of TensorFlow, absl and Beam, and Python's warnings, to the run's log file."""

import contextlib
import logging
import os
import shutil
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from schemas.process import SharedContext, set_keras_environment


@contextlib.contextmanager
def quiet(log: Path, *, verbose: bool) -> Iterator[TextIO]:
    """Redirects file descriptor 2 to `log`, and yields the terminal's stderr. With `verbose`, redirects nothing.

    It redirects the file descriptor because native code of TensorFlow and gRPC does not use `sys.stderr`. Runs that
    overlap in one process share it: what is written meanwhile is in the logs of all of them.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "1")
    set_keras_environment()
    if verbose:
        logging.basicConfig(level=logging.INFO)
        yield sys.stderr
        return
    logging.basicConfig(level=logging.WARNING)
    with _STDERR.redirected(log) as terminal, _WARNINGS:
        yield terminal


@dataclass
class _Log:
    path: Path
    file: BinaryIO
    start: int = 0  # where the messages of this run begin in the log that receives them


class _Stderr:
    """File descriptor 2: the terminal, or the log of the oldest run in progress."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: list[_Log] = []  # of the runs in progress, the oldest first
        self._terminal = -1

    @contextlib.contextmanager
    def redirected(self, path: Path) -> Iterator[TextIO]:
        """Redirects messages to the log at `path`, and yields the terminal."""
        with path.open("ab", buffering=0) as file:
            log = _Log(path, file)
            with self._lock:
                terminal = self._open(log)
            try:
                with terminal:
                    yield terminal
            finally:
                with self._lock:
                    self._close(log)

    def _open(self, log: _Log) -> TextIO:
        if self._logs:
            log.start = _written()
        else:
            self._terminal = os.dup(2)
            _redirect(log.file.fileno())
        self._logs.append(log)
        return os.fdopen(os.dup(self._terminal), "w", buffering=1, encoding="utf-8")

    def _close(self, log: _Log) -> None:
        receiver = self._logs[0]
        self._logs.remove(log)
        if log is not receiver:
            _append(receiver, log)
        elif self._logs:
            for other in self._logs:
                _append(receiver, other)
            _redirect(self._logs[0].file.fileno())
            for other in self._logs:
                other.start = _written()
        else:
            _redirect(self._terminal)
            os.close(self._terminal)


def _redirect(descriptor: int) -> None:
    _flush()
    os.dup2(descriptor, 2)


def _written() -> int:
    """The size of the log that receives the messages."""
    _flush()
    return os.fstat(2).st_size


def _flush() -> None:
    with contextlib.suppress(OSError):  # a full disk must not hide the outcome of a run
        sys.stderr.flush()


def _append(receiver: _Log, log: _Log) -> None:
    """Appends the messages of a run, which are in another log."""
    _flush()
    with contextlib.suppress(OSError), receiver.path.open("rb") as messages:
        messages.seek(log.start)
        shutil.copyfileobj(messages, log.file)


@contextlib.contextmanager
def _warnings_logged() -> Iterator[None]:
    """Logs Python's warnings, each once per place, and restores the filters of the program at the end."""

    def log(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: str | None = None) -> None:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        logging.getLogger("py.warnings").warning("%s", text)

    with warnings.catch_warnings():
        warnings.simplefilter("default", append=True)  # after the filters of the program: `-W error` stays an error
        warnings.showwarning = log
        yield


_STDERR = _Stderr()
_WARNINGS = SharedContext(_warnings_logged)
