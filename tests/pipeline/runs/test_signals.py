"""Signals, in a separate process, because a signal goes to the main thread."""

import subprocess
import sys

import pytest

SIGNAL_IN_FINALIZER = """
import signal, threading
from pipeline.runs import signals

class Finalized:
    def __del__(self):
        signal.raise_signal(signal.{signal})
        print("the finalizer was not interrupted")

signals.install()
try:
    Finalized()
    threading.Event().wait(60)
except BaseException as error:
    print(type(error).__name__, signals.interrupted(error))
"""


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_a_signal_in_a_finalizer_interrupts_the_program_afterwards(signal: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNAL_IN_FINALIZER.format(signal=signal)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("KeyboardInterrupt True\n", "")


def test_other_errors_in_a_finalizer_are_printed() -> None:
    code = (
        SIGNAL_IN_FINALIZER.format(signal="SIGTERM")
        .replace("signal.raise_signal(signal.SIGTERM)", "1 / 0")
        .replace("wait(60)", "wait(0)")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert "ZeroDivisionError: division by zero" in done.stderr


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_a_signal_at_exit_does_not_change_the_result(signal: str) -> None:
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
def test_a_signal_at_any_time_ends_the_command_with_130(signal: str, after: str) -> None:
    """Also right after the handlers are installed, and while another error is reported."""
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


def test_an_error_caused_by_an_interruption_is_recognized() -> None:
    from pipeline.runs.signals import interrupted

    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("the class body failed") from error
    except RuntimeError as error:
        assert interrupted(error)
    assert not interrupted(RuntimeError("by itself"))
