"""The command `schedule` as a process."""

import datetime
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.schedule.state import Entry, Running, State
from pipeline.store import Store
from schemas.artifacts import Examples
from schemas.settings.spans import READY
from tests.mounts import read_only
from tests.pipeline.command_line import ENVIRONMENT, gateline
from tests.spans import bright, deliver, digits

pytestmark = pytest.mark.slow

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
NIGHTLY = ("schedule", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin")
MISSING_DATA = ("--set", "source.module=null", "--set", "source.tfds=no_such_data")  # refused before training


@contextmanager
def scheduler(
    root: Path, *arguments: str, on: tuple[str, ...] = NIGHTLY, until: str = "the next tick"
) -> Iterator[tuple[subprocess.Popen, list[str]]]:
    """A scheduler that has printed a line with `until`, and its output so far."""
    command = [sys.executable, "-m", "pipeline", *on, "--root", str(root), *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stderr
        output: list[str] = []
        try:
            while not any(until in line for line in output):
                line = process.stderr.readline()
                assert line, output
                output.append(line)
            yield process, output
        finally:
            process.kill()


def test_a_scheduler_reports_its_health_and_status_and_stops_on_sigterm(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with scheduler(root, "--metrics-port", "0") as (process, output):
        assert "the next tick of 0 3 * * * (Europe/Berlin) at 20" in output[-1]
        health = output[0].split("health on ")[1].strip()
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


def test_a_scheduler_continues_from_the_state_of_a_killed_one(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with scheduler(root) as (process, _):
        process.kill()
        process.wait(30)
    before = json.loads((root / "schedule.json").read_text(encoding="utf-8"))
    with scheduler(root):
        pass
    assert json.loads((root / "schedule.json").read_text(encoding="utf-8"))["accounted"] == before["accounted"]


def test_once_runs_the_line_and_returns_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "TFDS_DATA_DIR", str(tmp_path))
    root = tmp_path / "root"
    done = gateline(*NIGHTLY, "--once", "--root", root, *MISSING_DATA)
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert "refused: data: " in done.stderr
    state = json.loads(gateline("schedule", "status", "--root", root, "--json").stdout)
    assert [(e["outcome"], e["exit_code"], e["tries"]) for e in state["recent"]] == [("refused", 4, 1)]
    assert state["running"] is None
    assert "no_such_data" in (root / "logs" / "schedule.log").read_text(encoding="utf-8")
    (run,) = json.loads(gateline("runs", "--root", root, "--json").stdout)
    assert run["state"] == "refused"


def watch_spans(root: Path, option: str, *sets: str, until: str = "waiting for a new span") -> tuple[list[str], str]:
    """The output of a scheduler until it waits for a new span, and that of the command `status` then."""
    with scheduler(root, *sets, on=("schedule", option), until=until) as (_, output):
        return output, gateline("schedule", "status", "--root", root).stdout


def entries(root: Path) -> list[tuple[str, str, int]]:
    state = json.loads(gateline("schedule", "status", "--root", root, "--json").stdout)
    return [(entry["outcome"], entry["cause"], entry["ticks"]) for entry in state["recent"]]


def test_a_new_span_triggers_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "TFDS_DATA_DIR", str(tmp_path))
    root, directory = tmp_path / "root", tmp_path / "data"
    sets = ("--set", f"spans.directory={directory}", *MISSING_DATA)
    for name in ("span-0001", "span-0002"):
        (directory / name).mkdir(parents=True)
        (directory / name / READY).touch()
        output, status = watch_spans(root, "--on-new-span", *sets)
        assert re.search(rf"  refused: data: .*; for new span {name}\n", "".join(output))
        again, same = watch_spans(root, "--on-new-span", *sets)  # this span was handled before
        assert len(again) == 1
        assert same == status
    assert entries(root) == [("refused", "new span span-0001", 0), ("refused", "new span span-0002", 0)]
    last, following, alive = status.splitlines()
    assert re.fullmatch(r"last  \S+ \S+ UTC  refused: data: .*; for new span span-0002", last)
    assert (following, alive) == ("next  when a new span is complete", "      the scheduler is running")


def test_on_drift_only_a_drifted_span_triggers_a_run(tmp_path: Path, data_dir: str, sample: Examples) -> None:
    """The complete line ends right after admit: its window names a missing span."""
    root, directory = tmp_path / "root", tmp_path / "data"
    short = {"source.train": "train[:1000]", "source.test": "test[:200]", "spans.window.only": "[span-0009]"}
    settings = {"source.data_dir": data_dir, "spans.directory": directory, **short}
    sets = [f"--set={key}={value}" for key, value in settings.items()]
    images, labels = digits(data_dir, 0, 60)
    deliver(directory, "span-0001", images, labels, "idx")
    _, status = watch_spans(root, "--on-drift", *sets)
    assert (
        "  no drift: no span drifted from the training data (run 1); for new span span-0001\nnext  when a new span"
        in status
    )
    deliver(directory, "span-0002", bright(images), labels, "idx")
    output, status = watch_spans(root, "--on-drift", *sets, until="span-0002 was not used yet")
    assert re.search(r"  new span span-0002 was not used yet; the next try is in an hour at \S+ \S+ UTC\n", output[-1])
    assert re.search(
        r"  configuration: .* names span-0009, but there is no such span; for new span span-0002\n", status
    )
    assert entries(root) == [("no drift", "new span span-0001", 0), ("configuration", "new span span-0002", 0)]
    runs = json.loads(gateline("runs", "--root", root, "--json").stdout)
    assert [run["state"] for run in runs] == ["failed", "partial", "partial"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "configuration: --cron, --on-new-span, --on-drift or --once is required\n"),
        (("--cron", "nightly"), 'configuration: --cron "nightly" has 1 fields, not 5\n'),
        (("--cron", "0 3 * * *", "--timezone", "Europe/Berln"), "configuration: there is no time zone Europe/Berln\n"),
        (("--cron", "0 3 * * *", "--set", "train.epoch=3"), "configuration: train.epoch is not a setting."),
        (("--cron", "0 3 * * *", "--jitter", "inf"), "configuration: --jitter inf is not between 0 and 86400\n"),
        (("--once", "--timezone", "Mars"), "configuration: there is no time zone Mars\n"),
        (("--on-drift",), "configuration: --on-new-span and --on-drift watch spans, and the configuration has none\n"),
        (("--cron", "0 3 * * *", "--profile", "mnst"), "configuration: there is no profile mnst\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_an_invalid_schedule_is_refused_at_once(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = gateline("schedule", *arguments, "--root", tmp_path / "root")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert not (tmp_path / "root").exists()


def test_status_without_a_schedule_is_refused(tmp_path: Path) -> None:
    done = gateline("schedule", "status", "--root", Store(tmp_path / "root").root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"configuration: there is no schedule in {tmp_path / 'root'}\n")


def test_a_state_with_an_unknown_time_zone_is_refused(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    State.begin(None, "0 3 * * *", "Mars", NOW).write(root / "schedule.json")
    for command in (("schedule", "status"), NIGHTLY):
        done = gateline(*command, "--root", root)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [
            f"store: {root / 'schedule.json'} is not a schedule's state: there is no time zone Mars",
            "  Remove it: the schedule then starts from now.",
        ]


def test_control_characters_in_names_and_messages_do_not_reach_the_terminal(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    now = datetime.datetime.now(datetime.UTC)
    name = "span-0001\x1b[31m\x07\nlast"
    entry = Entry(
        tick=now, ticks=0, cause=f"new span {name}", outcome="failed", why="error: \x1b]0;boom\x07", ended=now
    )
    running = Running(tick=now, ticks=0, started=now, tries=1, retry_at=now + datetime.timedelta(minutes=10))
    begun = State.begin(None, "0 3 * * *", "Europe/Berlin", now)
    state = begun.model_copy(
        update={"running": running, "recent": (entry,), "next": running.retry_at, "why": f"busy: {name}"}
    )
    state.write(root / "schedule.json")
    last, following, _ = gateline("schedule", "status", "--root", root).stdout.splitlines()
    assert last.endswith("  failed: error: ]0;boom; for new span span-0001[31m last")
    assert following.endswith("  busy: span-0001[31m last")
    with scheduler(root, until="busy") as (_, output):
        assert re.fullmatch(r"\S+ \S+  busy: span-0001\[31m last at \S+ \S+ CES?T\n", output[-1])


def test_a_read_only_root_is_refused_with_cause_and_remedy(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    State.begin(None, "0 3 * * *", "UTC", NOW).write(root / "schedule.json")
    before = read_only(root)
    for command in (NIGHTLY, ("schedule", "status")):
        line = [*before, sys.executable, "-m", "pipeline", *command, "--root", str(root)]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=ENVIRONMENT)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [
            f"store: cannot lock {root}: Read-only file system",
            "  Name another with --root or --serving-dir, or fix its permissions.",
        ]


def test_the_run_command_imports_no_scheduler_library() -> None:
    forbidden = "{'apscheduler', 'prometheus_client', 'smtplib'}"
    program = f"import sys, pipeline.cli, pipeline.runs.line_run; print({forbidden} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=os.environ)
    assert (done.stdout, done.stderr) == ("set()\n", "")
