"""Asked to end, by Ctrl-C or SIGTERM: it is heard wherever it falls, and known for what it is.

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
    """From now on SIGTERM is as clean a stop as Ctrl-C, and neither is lost.

    Either may arrive in a finalizer or a callback, some of which run in each import. Python prints such an exception
    and drops it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.unraisablehook = _again


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
