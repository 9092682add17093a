"""Asked to end: by a process, since a signal goes to the main thread of one."""

import subprocess
import sys

import pytest

FALLS = """
import signal, threading
from pipeline.runs import signals

class Finalized:
    def __del__(self):
        signal.raise_signal(signal.{signal})
        print("the finalizer ends here, were it not asked to end")

signals.install()
try:
    Finalized()
    threading.Event().wait(60)
except BaseException as error:
    print(type(error).__name__, signals.interrupted(error))
"""


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_an_end_asked_for_while_something_is_finalized_is_heard_right_after(signal: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FALLS.format(signal=signal)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("KeyboardInterrupt True\n", "")


def test_what_else_goes_wrong_in_a_finalizer_is_shown_as_ever() -> None:
    code = (
        FALLS.format(signal="SIGTERM")
        .replace("signal.raise_signal(signal.SIGTERM)", "1 / 0")
        .replace("wait(60)", "wait(0)")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert "ZeroDivisionError: division by zero" in done.stderr


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_an_end_asked_for_when_all_is_done_changes_nothing(signal: str) -> None:
    code = f"""
import atexit, signal, sys
from pipeline import cli
atexit.register(signal.raise_signal, signal.{signal})
sys.argv = ["gateline", "stages"]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "evaluate" in done.stdout


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("after", ["install", "_run_command", "_report_failure"])
def test_a_signal_ends_the_command_with_130_wherever_it_arrives(signal: str, after: str) -> None:
    """Also right after the handlers are set, and while another error is reported: never by the signal itself."""
    code = f"""
import signal, sys
from pipeline import cli

def raised(frame, event, arg):
    if event == "return" and frame.f_code.co_name == "{after}":
        sys.setprofile(None)
        signal.raise_signal(signal.{signal})

sys.setprofile(raised)
sys.argv = ["gateline", "show", "--root", "/dev/null/none"]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (130, 2)
    assert done.returncode == 130 or after == "_run_command", done.stderr
    assert done.stderr.endswith("The next run continues from them.\n") or done.returncode == 2


def test_what_an_interruption_was_turned_into_is_known_for_it() -> None:
    from pipeline.runs.signals import interrupted

    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("the class body failed") from error
    except RuntimeError as error:
        assert interrupted(error)
    assert not interrupted(RuntimeError("by itself"))
