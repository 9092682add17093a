"""Output of libraries goes to the log file, not to the terminal."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from pipeline.runs.log import quiet

PROGRAM = """
import logging, os, sys, warnings
from pathlib import Path
from pipeline.runs.log import quiet

try:
    with quiet(Path(sys.argv[1]), verbose=sys.argv[2] == "verbose") as terminal:
        os.write(2, b"native code\\n")
        logging.getLogger("library").warning("a warning of a library")
        warnings.warn("a warning of Python")
        print("for the user", file=terminal, flush=True)
        raise ZeroDivisionError
except ZeroDivisionError:
    print("after", file=sys.stderr)
"""
NOISE = ("native code", "a warning of a library", "a warning of Python")


def stderr(log: Path, mode: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, log, mode], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def test_library_output_goes_to_the_log_and_not_to_the_terminal(tmp_path: Path) -> None:
    assert stderr(tmp_path / "log", "quiet") == "for the user\nafter\n"
    assert all(message in (tmp_path / "log").read_text(encoding="utf-8") for message in NOISE)
    assert "for the user" not in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_log_is_appended_to(tmp_path: Path) -> None:
    for _ in range(2):
        stderr(tmp_path / "log", "quiet")
    assert (tmp_path / "log").read_text(encoding="utf-8").count("native code") == 2


@pytest.mark.parametrize("message", [*NOISE, "for the user", "after"])
def test_verbose_prints_library_output(tmp_path: Path, message: str) -> None:
    assert message in stderr(tmp_path / "log", "verbose")
    assert not (tmp_path / "log").exists()


def test_a_warning_that_the_program_treats_as_an_error_stays_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeprecationWarning, match="soon gone"), quiet(tmp_path / "log", verbose=False):
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)


OVERLAPPING = """
import os, sys, threading
from pathlib import Path
from pipeline.runs.context import Request, RunContext, RunOptions
from pipeline.lineage.states import RunState
from pipeline.store import Store

opened, close = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

def run(i):
    root = Path(sys.argv[1]) / str(i)
    with RunContext.begin(RunOptions(root), Store(root), Request("tiny", "tiny", ["pick"], [])) as context:
        os.write(2, b"begin %d\\n" % i)
        opened[i].set()
        close[i].wait()
        os.write(2, b"end %d\\n" % i)
        context.progress.message("pick", f"for the user of {i}")
        context.finish(RunState.PARTIAL)

threads = [threading.Thread(target=run, args=[i]) for i in range(2)]
for i in range(2):
    threads[i].start()
    opened[i].wait()
os.write(2, b"both\\n")
for i in map(int, sys.argv[2]):
    close[i].set()
    threads[i].join()
print("after", file=sys.stderr)
"""


@pytest.mark.parametrize("order", ["01", "10"], ids=["the first ends first", "the last ends first"])
def test_overlapping_runs_of_one_process_keep_their_logs_and_restore_stderr(tmp_path: Path, order: str) -> None:
    command = [sys.executable, "-c", OVERLAPPING, tmp_path, order]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    users = [f"pick           for the user of {i}\n" for i in order]
    assert done.stderr == "".join(users) + "after\n"
    logs = [(tmp_path / str(i) / "logs" / "run-1.log").read_text(encoding="utf-8").splitlines() for i in range(2)]
    both = ["begin 1", "both", f"end {order[0]}"]
    last = int(order[1])
    assert logs[last] == (["begin 0"] if last == 0 else []) + [*both, f"end {last}"]
    assert logs[1 - last] == (["begin 0"] if last == 1 else []) + both
