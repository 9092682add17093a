"""Unexpected errors and interruptions: what is printed, and the exit code."""

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from pipeline.store import Store
from tests.pipeline.command_line import ENVIRONMENT, gateline


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A store with unforeseen damage: a run whose configuration is no JSON, and a folder in place of a log."""
    root = Store(tmp_path / "root").root
    lineage = Lineage.at(root, None)
    lineage.start(profile="sample", command="", config={})
    lineage.engine.dispose()
    with contextlib.closing(sqlite3.connect(root / "lineage.db")) as connection:
        connection.execute("UPDATE runs SET config = '{'")
        connection.commit()
    (root / "logs" / "run-2.log").mkdir()
    return root


def test_an_unexpected_error_is_one_line_and_exits_with_1(broken: Path) -> None:
    done = gateline("run", "--root", broken)
    assert (done.returncode, done.stdout) == (1, "")
    first, *notes = done.stderr.splitlines()
    assert first.startswith("error: IsADirectoryError: ")
    assert notes == ["  Run again with -v for the traceback.", f"  log: {broken / 'logs' / 'run-2.log'}"]


def test_an_unexpected_error_shows_its_traceback_with_v(broken: Path) -> None:
    done = gateline("runs", "--root", broken, "-v")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert "json.decoder.JSONDecodeError: " in done.stderr


@pytest.mark.parametrize("name", ["runs", "report"])
def test_where_the_remedy_is_v_the_command_takes_it(name: str, broken: Path) -> None:
    done = gateline(name, "--root", broken)
    assert done.returncode == 1
    assert "-v" not in done.stderr or "JSONDecodeError" in gateline(name, "--root", broken, "-v").stderr


@pytest.mark.parametrize(
    "raised",
    ["KeyboardInterrupt", "RuntimeError('of a library') from KeyboardInterrupt()", "OSError('met on the way')"],
)
def test_being_asked_to_end_is_told_from_an_error_whatever_a_library_makes_of_it(raised: str) -> None:
    """While a class is made, Python 3.11 makes a RuntimeError of a KeyboardInterrupt."""
    program = (
        "import sys\nfrom pipeline import cli\n"
        f"def app(**_):\n    try:\n        raise {'KeyboardInterrupt' if 'way' in raised else 'ValueError'}\n"
        f"    except BaseException:\n        raise {raised}\n"
        "cli.app = app\ncli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=60
    )
    assert (done.returncode, done.stderr) == (
        130,
        "interrupted: finished stages are kept\n  The next run continues from them.\n",
    )


def test_being_asked_to_end_before_there_is_a_run_is_said_too() -> None:
    program = (
        "import sys\nfrom pipeline import cli\nsys.argv = ['gateline', 'stop']\n"
        "@cli.app.command()\ndef stop() -> None:\n    raise KeyboardInterrupt\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=60
    )
    assert (done.returncode, done.stderr.lstrip()) == (
        130,
        "interrupted: finished stages are kept\n  The next run continues from them.\n",
    )
