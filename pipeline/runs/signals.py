"""Handling of Ctrl-C and SIGTERM: both interrupt the process at any point.

install()   # once per process
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

RESEND_DELAY = 0.01  # seconds, after which uninterruptible code has ended


def install() -> None:
    """Makes SIGTERM stop the process like Ctrl-C, and prevents that either is lost.

    A signal may arrive in a finalizer or a callback, some of which run in each import. Python prints the exception and
    ignores it, so the signal is sent again.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.unraisablehook = _resend


def ignore() -> None:
    """Ignores Ctrl-C and SIGTERM from now on. Called when the command has ended: the rest takes milliseconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _resend(raised: "UnraisableHookArgs") -> None:
    if issubclass(raised.exc_type, KeyboardInterrupt):
        threading.Timer(RESEND_DELAY, os.kill, [os.getpid(), signal.SIGTERM]).start()  # also wakes waiting threads
    else:
        sys.__unraisablehook__(raised)


def interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C or SIGTERM caused an error, directly or through its `__cause__` or `__context__`."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
