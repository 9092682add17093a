"""A run in a child process: its outcome as a message, and its termination."""

import json
import os
import sys
import threading
from pathlib import Path

import pytest

from pipeline.schedule.child import Child
from pipeline.schedule.state import Ended

WAITING = "import signal, sys; print('ready', file=sys.stderr, flush=True)\n"
OBEDIENT = WAITING + "signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\nsignal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITING + "while True: signal.pause()"


def child(tmp_path: Path, program: str, **options: float) -> Child:
    return Child([sys.executable, "-c", program], tmp_path / "schedule.log", **options)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (json.dumps({"run": 7, "version": 3, "new": True}), Ended(0, "version 3 (run 7)", new=True)),
        (
            json.dumps({"run": 8, "version": 3, "new": False}),
            Ended(0, "nothing changed, version 3 is still served (run 8)"),
        ),
        ("all went well", Ended(0, "done")),
    ],
)
def test_a_successful_run_reports_the_served_version(tmp_path: Path, printed: str, expected: Ended) -> None:
    assert child(tmp_path, f"print({printed!r})")() == expected


def test_a_failed_run_reports_its_cause_and_logs_all_output(tmp_path: Path) -> None:
    output = "ingest  done\nrefused: accuracy is 0.5\n  Train longer.\n"
    (tmp_path / "schedule.log").write_text("error: of yesterday\n", encoding="utf-8")
    assert child(tmp_path, f"import sys; sys.stderr.write({output!r}); sys.exit(3)")() == Ended(
        3, "refused: accuracy is 0.5"
    )
    assert (tmp_path / "schedule.log").read_text(encoding="utf-8") == "error: of yesterday\n" + output


def test_a_failure_without_output_does_not_report_an_earlier_error(tmp_path: Path) -> None:
    (tmp_path / "schedule.log").write_text("error: of yesterday\n", encoding="utf-8")
    assert child(tmp_path, "import sys; sys.exit(1)")() == Ended(1, "no output")


def test_a_killed_run_reports_the_signal(tmp_path: Path) -> None:
    program = "import os, sys; print('train ...', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    assert child(tmp_path, program)() == Ended(-9, "killed by SIGKILL; last output: train ...")


def test_a_run_over_its_time_limit_is_terminated(tmp_path: Path) -> None:
    ended = child(tmp_path, OBEDIENT, limit=1)()
    assert (ended.outcome, ended.message) == (
        "time limit",
        "longer than 0.0166667 minutes: the next run continues from there",
    )
    assert ended.exit_code in (130, -15)  # the latter if its signal handler was not installed yet


def test_a_run_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ended = child(tmp_path, STUBBORN, limit=2, grace=0.2)()
    assert (ended.outcome, ended.exit_code) == ("time limit", -9)


def test_child_processes_of_a_run_end_with_it(tmp_path: Path) -> None:
    read, write = os.pipe()
    waiting_program = "[sys.executable, '-c', 'import signal; signal.pause()']"
    program = f"import subprocess, sys; subprocess.Popen({waiting_program}, pass_fds=[{write}])"
    os.set_inheritable(write, True)
    Child([sys.executable, "-c", f"import os; os.set_inheritable({write}, True)\n{program}"], tmp_path / "log")()
    os.close(write)
    ended: list[bytes] = []
    reader = threading.Thread(target=lambda: ended.append(os.read(read, 1)), daemon=True)
    reader.start()
    reader.join(30)
    os.close(read)
    assert ended == [b""]  # no process holds the other end
