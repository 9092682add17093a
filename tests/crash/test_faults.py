"""Faults of operator and disk with the complete command: each has a cause and a remedy, and loses nothing."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from pipeline.store import Store
from tests.crash import checks, matrix
from tests.mounts import read_only

pytestmark = pytest.mark.slow

STOPPED = "interrupted: finished stages are kept\n  The next run continues from them.\n"
REPOSITORY = Path(__file__).parents[2]


class Line:
    """The commands of a minimal line on one ROOT."""

    def __init__(self, root: Path, data_dir: str) -> None:
        self.root, self.command = root, [sys.executable, "-m", "pipeline", *matrix.command(root, Path(data_dir), 1)]
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("GATELINE")}

    def start(self, *arguments: str, before: tuple[str, ...] = (), **options: object) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            [*before, *self.command, *arguments], cwd=REPOSITORY, env=self.environment, **pipes, **options
        )

    def __call__(self, *arguments: str, **options: object) -> tuple[int, str]:
        process = self.start(*arguments, **options)
        _, err = process.communicate(timeout=300)
        return process.returncode, err

    def versions(self) -> list[Path]:
        return [path for path in sorted(self.root.glob(f"serving/{matrix.MODEL}/*")) if path.name.isdigit()]


@pytest.fixture
def line(tmp_path: Path, data_dir: str) -> Line:
    return Line(tmp_path / "root", data_dir)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_waiting_run_ends_cleanly_on_a_signal(line: Line, number: int) -> None:
    with Store(line.root).lock(wait=False):
        process = line.start("--wait")
        while not _catches_sigterm(process.pid):
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err in ("", f"interrupted: waited for {line.root / 'lock'}; nothing was run\n  Run again.\n", STOPPED)
    assert not (line.root / "lineage.db").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_interrupted_in_a_stage_ends_cleanly_and_keeps_finished_stages(line: Line, number: int) -> None:
    process, progress = line.start(), []
    for text in process.stderr:
        progress.append(text)
        if text.startswith("describe  "):
            process.send_signal(number)
            break
    _, err = process.communicate(timeout=300)
    last_lines = ("".join(progress) + err).splitlines()[-2:]
    assert (process.returncode, last_lines) == (
        130,
        ["interrupted: finished stages are kept", "  The next run continues from them."],
    )
    finished = {text.split()[0] for text in progress if text.split()[1] == "done"}
    assert "ingest" in finished <= {"ingest", "collect"}  # collect needs no input and may run first
    assert {p.name for p in (line.root / "artifacts").iterdir()} == finished
    assert list((line.root / "staging").iterdir()) == []
    assert checks.after_a_kill(line.root) == []
    lineage = Lineage.at(line.root, None)
    assert (lineage.run(1)["state"], lineage.run(1)["exit_code"]) == ("interrupted", 130)
    lineage.engine.dispose()


def test_of_eight_simultaneous_runs_one_holds_the_lock(line: Line) -> None:
    barrier, results = threading.Barrier(8), []

    def run_line() -> None:
        barrier.wait()
        results.append(line("--until", "ingest"))

    threads = [threading.Thread(target=run_line) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {code for code, _ in results} <= {0, 5}
    assert 0 in {code for code, _ in results}
    assert {err for code, err in results if code == 5} <= {
        f"locked: another run holds {line.root / 'lock'}\n  Wait for it with --wait, or name another --root.\n"
    }
    assert checks.after_a_kill(line.root) == []
    assert len(list(line.root.glob("artifacts/ingest/*"))) == 1


def test_a_read_only_root_is_refused_with_cause_and_remedy(line: Line) -> None:
    Store(line.root)
    before = read_only(line.root)
    code, err = line(before=before)
    assert code == 2
    assert err.splitlines() == [
        f"store: cannot lock {line.root}: Read-only file system",
        "  Name another with --root or --serving-dir, or fix its permissions.",
    ]


def test_a_complete_run_on_postgresql_shows_no_password(line: Line, new_postgres: Callable[[], str]) -> None:
    url = new_postgres()
    code, err = line("--database", url)
    assert code == 0, err
    assert len(line.versions()) == 1
    lineage = Lineage.at(line.root, url)
    run = lineage.run(None)
    assert (run["state"], run["store"]) == ("pushed", Store(line.root).id)
    assert len(lineage.executions(run["run"])) > 8
    lineage.engine.dispose()
    outputs = [err, *(_command("show", "--json", "--database", url, root=line.root))]
    assert "***" in outputs[1]
    written = [path.read_bytes() for path in line.root.rglob("*") if path.is_file()]
    assert not [text for text in outputs if "not-to-be-seen" in text]
    assert not [content for content in written if b"not-to-be-seen" in content]
    assert not (line.root / "lineage.db").exists()


def _command(*arguments: str, root: Path) -> list[str]:
    command = [sys.executable, "-m", "pipeline", *arguments, "--root", str(root)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [done.stdout, done.stderr]


def _catches_sigterm(process: int) -> bool:
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process}/status").read_text(encoding="utf-8"))
    return bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
