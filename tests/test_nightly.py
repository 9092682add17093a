"""Runs every command of the nightly page in order: from the sample to models retrained on new spans."""

import json
import re
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.lineage import Lineage
from tests.pages import ROOT, Page, Reader, dry_make

pytestmark = pytest.mark.slow

PAGE = Page(ROOT / "docs" / "how-to" / "nightly.md")


@pytest.fixture(scope="module")
def nightly(tmp_path_factory) -> Path:
    """The folder of a reader who has run all commands of the page."""
    reader = Reader(tmp_path_factory.mktemp("reader"))
    port = free_port()
    with ExitStack() as terminals:
        for original in PAGE.commands:
            command = dry_make(original) if original.startswith("make ") else original.replace("9100", port)
            if "--cron" in command:
                output = terminals.enter_context(terminal(reader, command))
                last_line = next(line for line in output if "metrics on" not in line and "running:" not in line)
                assert last_line.endswith("waiting: run 5 waits for approval; for new span span-2026-11-03\n")
                continue
            done = reader.run(command)
            assert done.returncode == 0, f"{original}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr
            if "nightly" in original and "cd" in original:
                (reader.place / "nightly.yaml").write_text(PAGE.blocks("yaml")[0], encoding="utf-8")
                (reader.place / "desk.py").write_text(PAGE.blocks("python")[0], encoding="utf-8")
            if "/metrics" in original:
                assert 'gateline_last_run_outcome{state="waiting"} 1.0' in done.stdout
                terminals.close()
    return reader.place


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def terminal(reader: Reader, command: str) -> Iterator[Iterator[str]]:
    """The output of a command that runs until Ctrl-C, for at most five minutes."""
    options = {"cwd": reader.place, "env": reader.environment, "text": True}
    process = subprocess.Popen(shlex.split(command), **options, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    timer = threading.Timer(300, process.kill)
    timer.start()
    try:
        yield iter(process.stderr)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()
        timer.cancel()
    assert process.returncode == 0


def test_each_run_of_the_page_ends_as_documented(nightly):
    lineage = Lineage.at(nightly / "gateline", None)
    states = {run["run"]: run["state"] for run in lineage.runs()}
    lineage.engine.dispose()
    assert states == {
        1: "approved",
        2: "pushed",
        3: "approved",
        4: "pushed",
        5: "approved",
        6: "pushed",
        7: "unchanged",
    }


def test_two_retrained_models_were_approved_and_one_was_rolled_back(nightly):
    model_directory = nightly / "gateline/serving/digits"
    provenance = {
        int(p.parent.name): json.loads(p.read_text(encoding="utf-8")) for p in model_directory.glob("*/provenance.json")
    }
    trained_on = {number: facts["stages"]["mix"]["facts"]["spans"] for number, facts in sorted(provenance.items())}
    first, second = "span-2026-11-02", "span-2026-11-03"
    assert trained_on == {1: [], 2: [first], 3: [first, second], 4: [first]}
    assert provenance[3]["approved"]["by"] == "bob"
    assert (provenance[4]["rollback"]["of"], provenance[4]["rollback"]["to"]) == (3, 2)


def test_each_event_was_notified_once(nightly):
    events = [json.loads(line) for line in (nightly / "notices.txt").read_text(encoding="utf-8").splitlines()]
    outcomes = ["waiting", "pushed"] * 3
    assert [event["event"] for event in events] == [*outcomes, "drift", "quarantined", "quarantined"]
    reasons = {event["span"]: event["text"] for event in events if event["event"] == "quarantined"}
    assert "cannot be decoded as an image" in reasons["span-2026-11-04"]
    assert "is brighter or darker by" in reasons["span-2026-11-05"]


def test_the_configuration_of_the_page_sets_the_documented_options(tmp_path):
    file = tmp_path / "nightly.yaml"
    file.write_text(PAGE.blocks("yaml")[0], encoding="utf-8")
    config = load(file=file)
    assert config.spans
    assert (config.spans.window.days, config.spans.drift.then, config.push.approval) == (90, "quarantine", "manual")
    assert config.gates.fresh
    assert config.notify


def test_files_named_on_the_page_exist():
    named = {path.name for path in (ROOT / "deploy").rglob("*") if f"`{path.name}`" in PAGE.text}
    assert named == set(re.findall(r"`(?!desk|nightly)([\w-]+\.(?:py|yaml|service|timer))`", PAGE.text)) | {"crontab"}
    assert "gateline-scheduler.service" in named
