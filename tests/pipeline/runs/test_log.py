"""Output of libraries goes to the log file, not to the terminal."""

import subprocess
import sys
from pathlib import Path

import pytest

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
