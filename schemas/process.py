"""What is set for the whole process: standard streams, and the environment that Keras reads."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

_KERAS_ENVIRONMENT = {"KERAS_BACKEND": "tensorflow"}
_IGNORED = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")  # debugging limits of every `fit`


def open_standard_streams() -> None:
    """Opens the null device for each of stdin, stdout and stderr that the caller closed (`>&-`).

    Otherwise the next file that is opened gets the descriptor 1 or 2, and what is printed goes into it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))


def set_keras_environment() -> None:
    """Selects the TensorFlow backend for this process and its children. Call it before Keras is imported."""
    os.environ.update(_KERAS_ENVIRONMENT)
    for name in _IGNORED:
        os.environ.pop(name, None)


class SharedContext:
    """A change of the whole process for the time of a block. Blocks that overlap in threads share it.

    The first block makes the change and the last one undoes it, in whatever order they end.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[Any]]) -> None:
        self._change, self._lock, self._blocks = change, threading.Lock(), 0
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._blocks:
                self._undo.enter_context(self._change())
            self._blocks += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                self._undo.close()


# Libraries print, and stdout is for results.
prints_to_stderr = SharedContext(lambda: contextlib.redirect_stdout(sys.stderr))
