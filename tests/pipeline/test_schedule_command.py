"""The command `schedule`, as a process: it is stopped, asked, refused, and runs the line."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.store import Store
from tests.pipeline.test_cli import ENVIRONMENT, gateline

NIGHTLY = ("schedule", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin")
ABSENT = ("--set", "source.module=null", "--set", "source.tfds=no_such_data")  # refused before anything is learnt


@contextmanager
def scheduler(root: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen, list[str]]]:
    """A scheduler that waits for its next tick, and what it said until then."""
    command = [sys.executable, "-m", "pipeline", *NIGHTLY, "--root", str(root), *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stderr
        said: list[str] = []
        try:
            while not any("the next tick" in line for line in said):
                line = process.stderr.readline()
                assert line, said
                said.append(line)
            yield process, said
        finally:
            process.kill()


def test_a_scheduler_waits_answers_and_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with scheduler(root, "--metrics-port", "0") as (process, said):
        assert "the next tick of 0 3 * * * (Europe/Berlin) at 20" in said[-1]
        health = said[0].split("health on ")[1].strip()
        with urllib.request.urlopen(health, timeout=30) as answer:
            assert json.loads(answer.read())["status"] == "ok"
        status = json.loads(gateline("schedule", "status", "--root", root, "--json").stdout)
        assert (status["alive"], status["recent"], status["timezone"]) == (True, [], "Europe/Berlin")
        second = gateline(*NIGHTLY, "--root", root)
        assert (second.returncode, second.stderr.split(":")[0]) == (5, "locked")
        process.terminate()
        assert process.wait(30) == 0
        assert process.stderr
        assert process.stderr.read().rstrip().endswith("  stopped")
    shown = gateline("schedule", "status", "--root", root)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "03:00:00 CE" in shown.stdout
    assert "no scheduler is running: nothing runs until one is started" in shown.stdout


def test_a_scheduler_that_was_killed_leaves_a_state_that_the_next_one_reads(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with scheduler(root) as (process, _):
        process.kill()
        process.wait(30)
    before = json.loads((root / "schedule.json").read_text())
    with scheduler(root):
        pass
    assert json.loads((root / "schedule.json").read_text())["accounted"] == before["accounted"]


def test_once_runs_the_line_and_ends_with_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "TFDS_DATA_DIR", str(tmp_path))
    root = tmp_path / "root"
    done = gateline(*NIGHTLY, "--once", "--root", root, *ABSENT)
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert "refused: data: " in done.stderr
    state = json.loads(gateline("schedule", "status", "--root", root, "--json").stdout)
    assert [(e["outcome"], e["exit_code"], e["tries"]) for e in state["recent"]] == [("refused", 4, 1)]
    assert state["running"] is None
    assert "no_such_data" in (root / "logs" / "schedule.log").read_text()
    (run,) = json.loads(gateline("runs", "--root", root, "--json").stdout)
    assert run["state"] == "refused"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "configuration: --cron is missing: when shall it run?\n"),
        (("--cron", "nightly"), 'configuration: --cron "nightly" has 1 fields, not 5\n'),
        (("--cron", "0 3 * * *", "--timezone", "Europe/Berln"), "configuration: there is no time zone Europe/Berln\n"),
        (("--cron", "0 3 * * *", "--set", "train.epoch=3"), "configuration: train.epoch is not a setting."),
        (("--cron", "0 3 * * *", "--profile", "mnst"), "configuration: there is no profile mnst\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_scheduled_is_refused_at_once(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = gateline("schedule", *arguments, "--root", tmp_path / "root")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(words)
    assert not (tmp_path / "root").exists()


def test_where_nothing_was_scheduled_status_says_so(tmp_path: Path) -> None:
    done = gateline("schedule", "status", "--root", Store(tmp_path / "root").root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"configuration: there is no schedule in {tmp_path / 'root'}\n")


def test_nothing_of_it_is_imported_by_the_command_run() -> None:
    program = "import sys, pipeline.cli, pipeline.session; print({'apscheduler', 'prometheus_client', 'smtplib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=os.environ)
    assert (done.stdout, done.stderr) == ("set()\n", "")
