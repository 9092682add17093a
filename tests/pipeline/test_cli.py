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
def broken_root(tmp_path: Path) -> Path:
    """A store with unexpected damage: a run whose configuration is not JSON, and a folder in place of a log."""
    root = Store(tmp_path / "root").root
    lineage = Lineage.at(root, None)
    lineage.start(profile="sample", command="", config={})
    lineage.engine.dispose()
    with contextlib.closing(sqlite3.connect(root / "lineage.db")) as connection:
        connection.execute("UPDATE runs SET config = '{'")
        connection.commit()
    (root / "logs" / "run-2.log").mkdir()
    return root


def test_an_unexpected_error_is_a_one_line_message_with_exit_code_1(broken_root: Path) -> None:
    done = gateline("run", "--root", broken_root)
    assert (done.returncode, done.stdout) == (1, "")
    first, *notes = done.stderr.splitlines()
    assert first.startswith("error: IsADirectoryError: ")
    assert notes == ["  Run again with -v for the traceback.", f"  log: {broken_root / 'logs' / 'run-2.log'}"]


def test_verbose_shows_the_traceback_of_an_unexpected_error(broken_root: Path) -> None:
    with contextlib.closing(sqlite3.connect(broken_root / "lineage.db")) as connection:
        connection.execute("UPDATE runs SET config = '{}', started = 'once'")
        connection.commit()
    done = gateline("runs", "--root", broken_root, "-v")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert "ValueError: Invalid isoformat string: 'once'" in done.stderr


@pytest.mark.parametrize("name", ["runs", "report"])
def test_verbose_shows_what_is_behind_an_error_of_the_store(name: str, broken_root: Path) -> None:
    done, verbose = gateline(name, "--root", broken_root), gateline(name, "--root", broken_root, "-v")
    assert (done.returncode, verbose.returncode) == (2, 2)
    assert "Restore it from a copy" in done.stderr
    assert "JSONDecodeError" in verbose.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "raised",
    ["KeyboardInterrupt", "RuntimeError('of a library') from KeyboardInterrupt()", "OSError('met on the way')"],
)
def test_an_interruption_exits_with_130_even_if_a_library_raises_another_error(raised: str) -> None:
    """Python 3.11 turns a KeyboardInterrupt during the creation of a class into a RuntimeError."""
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


def test_an_interruption_before_a_run_starts_is_reported() -> None:
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
