"""Ctrl-C and SIGTERM: both interrupt the process wherever they arrive, and are recognised afterwards.

heed()      # once, by the process
try:
    work()
except BaseException as error:
    if interrupted(error): ...
"""

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

LATER = 0.01  # seconds: by then, what could not be interrupted is over


def heed() -> None:
    """Makes SIGTERM as clean a stop as Ctrl-C, and loses neither.

    Either may arrive in a finalizer or a callback, some of which run in each import. Python prints such an exception
    and drops it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.unraisablehook = _again


def ignore() -> None:
    """Ctrl-C and SIGTERM change nothing from now on: the command has ended, and what remains takes milliseconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _again(raised: "UnraisableHookArgs") -> None:
    if issubclass(raised.exc_type, KeyboardInterrupt):
        threading.Timer(LATER, os.kill, [os.getpid(), signal.SIGTERM]).start()  # wakes whoever waits, too
    else:
        sys.__unraisablehook__(raised)


def interrupted(error: BaseException | None) -> bool:
    """Whether an error was caused by Ctrl-C or SIGTERM: the interrupted code may have raised its own error from it."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
