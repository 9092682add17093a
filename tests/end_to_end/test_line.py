"""A complete run: its output and files, and what another run reuses."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.components.pictures import contents
from tests.end_to_end.real_line import CACHED, NOISE, REPOSITORY, STAGES, reused

pytestmark = pytest.mark.slow


def test_a_complete_run_pushes_version_1(line):
    assert line.first.returncode == 0, line.first.stderr
    pushed = line.model_directory / "1"
    assert f"pushed  {pushed}\n" in line.first.stdout
    assert (pushed / "saved_model.pb").exists()
    assert line.versions()[0] == "1"


def test_a_run_prints_its_gates(line):
    rows = [row.split() for row in line.first.stdout.splitlines()]
    gates = [row for row in rows if row and row[0] in ("accuracy", "per_class", "drop")]
    assert len(gates) == 11
    assert {row[-1] for row in gates} == {"passed"}
    assert gates[0][:4] == ["accuracy", "overall", "≥", "0.7000"]


def test_a_run_prints_only_progress_to_stderr(line):
    progress = re.compile(rf"^({'|'.join(STAGES)}) ")
    for run in (line.first, line.waited):
        assert [text for text in run.stderr.splitlines() if not progress.match(text)] == []
        assert not NOISE.search(run.stdout)
        assert not NOISE.search(run.stderr)


def test_a_repeated_run_reuses_every_cached_stage_and_changes_nothing(line):
    before = contents(line.root / "serving")
    again = line()
    assert again.returncode == 0
    assert reused(again.stderr) == CACHED
    assert "nothing changed" in again.stdout
    assert contents(line.root / "serving") == before


def test_a_repeated_run_does_not_import_tensorflow_or_beam(line):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *line.arguments("run")],
        cwd=REPOSITORY,
        env=line.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    # Import times during the run are in its log, like everything that is written to file descriptor 2.
    log = max((line.root / "logs").glob("run-*.log"), key=lambda path: path.stat().st_mtime_ns)
    import_times = (done.stderr + log.read_text(encoding="utf-8")).splitlines()
    imported = {text.rpartition("|")[2].strip() for text in import_times if text.startswith("import time:")}
    assert {"pipeline.engine.runner", "pipeline.serving"} <= imported
    assert not imported & {"tensorflow", "apache_beam", "keras", "tensorflow_datasets"}


def test_a_forced_stage_with_the_same_result_reuses_the_later_stages(line):
    again = line("run", "--force", "transform")
    assert again.returncode == 0, again.stderr
    assert reused(again.stderr) == [stage for stage in CACHED if stage != "transform"]
    assert "nothing changed" in again.stdout


def test_a_second_model_is_compared_with_the_first(line):
    second = line(sets=["train.epochs=3"])
    assert second.returncode == 0, second.stderr
    assert line.versions() == ["1", "2"]
    (drop,) = [row.split() for row in second.stdout.splitlines() if row.split()[:1] == ["drop"]]
    assert drop[1:4] == ["overall", "≤", "0.2000"]
    again = line(sets=["train.epochs=3"])
    assert "nothing changed" in again.stdout
    assert reused(again.stderr) == CACHED
    assert line.versions() == ["1", "2"]


def test_runs_show_and_report_describe_past_runs(line):
    runs = json.loads(line("runs", "--json").stdout)
    states = [row["state"] for row in runs][::-1]
    assert states[:6] == ["killed", "killed", "killed", "killed", "pushed", "unchanged"]
    shown = json.loads(line("show", "5", "--json").stdout)
    assert [(s["stage"], s["state"]) for s in shown["stages"]] == [(s, "reused") for s in STAGES[:6]] + [
        (s, "ran") for s in STAGES[6:]
    ]
    for number in (("5",), ()):
        done = line("report", *number)
        assert done.returncode == 0, done.stderr
        path = Path(done.stdout.splitlines()[-1].removeprefix("report").strip())
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    for command in ("runs", "show"):
        done = line(command)
        assert (done.returncode, done.stderr) == (0, "")
        assert not NOISE.search(done.stdout)


def test_runs_write_no_gateline_files_to_the_home_directory(line, environment):
    """Keras and Matplotlib keep a file there; datasets and results go to the configured directories."""
    assert {p.name for p in Path(environment["HOME"]).iterdir()} <= {".keras", ".cache", ".config"}
