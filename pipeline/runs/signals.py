"""Ctrl-C and SIGTERM: both interrupt the process at any point, and are recognised afterwards.

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

LATER = 0.01  # seconds, after which code that cannot be interrupted has ended


def heed() -> None:
    """Makes SIGTERM stop the process like Ctrl-C, and makes sure that neither is lost.

    Either may arrive in a finalizer or a callback, some of which run in each import. Python prints such an exception
    and drops it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.unraisablehook = _again


def ignore() -> None:
    """Ignores Ctrl-C and SIGTERM from now on: the command has ended, and the rest takes milliseconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _again(raised: "UnraisableHookArgs") -> None:
    if issubclass(raised.exc_type, KeyboardInterrupt):
        threading.Timer(LATER, os.kill, [os.getpid(), signal.SIGTERM]).start()  # also wakes threads that wait
    else:
        sys.__unraisablehook__(raised)


def interrupted(error: BaseException | None) -> bool:
    """Whether an error was caused by Ctrl-C or SIGTERM: the interrupted code may have raised its own error from it."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
