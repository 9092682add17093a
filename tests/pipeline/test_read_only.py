"""A user with read access to ROOT can use every reading command, and changes nothing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateline
from pipeline.lineage import Lineage

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# Root may write anywhere. Another user often cannot read the home with Python in it, so reading stays allowed.
OTHER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
READING = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
COMMANDS = [("runs",), ("show", "1"), ("report", "1"), ("report", "--index"), ("compare", "1", "2"), ("approvals",)]
COMMANDS += [("store", "verify"), ("serving", "list")]


@pytest.fixture(scope="module")
def reader() -> list[str]:
    """The command prefix that runs a command as a user without write access."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None or subprocess.run([*OTHER, *READING, "true"], check=False).returncode:
        pytest.skip("root cannot become another user here")
    return [*OTHER, *READING]


@pytest.fixture(scope="module")
def finished_root(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Path:
    """Two runs, both pushed."""
    root = tmp_path_factory.mktemp("made") / "root"
    for seed in (1, 2):
        sets = ["train.epochs=2", "gates.accuracy=0.6", "gates.per_class=0.2"]
        sets += ["gates.paired.margin=0.2", "gates.budget.margin=0.3"]
        config = gateline.configure("sample", sets=[*sets, f"train.seed={seed}", f"source.data_dir={data_dir}"])
        gateline.run(config, root=root)
    return root


@pytest.fixture
def root(finished_root: Path, tmp_path: Path) -> Iterator[Path]:
    """A read-only copy."""
    root = tmp_path / "root"
    shutil.copytree(finished_root, root)
    paths = [root, *root.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path.name.startswith((tmp_path.name, "pytest-", "popen-")):
            path.chmod(path.stat().st_mode | 0o555)  # pytest hides its folders from other users
    yield root
    for path, mode in modes.items():
        if path.exists():  # SQLite removes its log
            path.chmod(mode)


def read(reader: list[str], root: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(folder), "HOME": str(folder)}
    command = [*reader, sys.executable, "-m", "pipeline", *arguments, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


def contents(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*")}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reading_command_works_and_changes_nothing(
    command: tuple[str, ...], reader: list[str], root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    before = contents(root)
    done = read(reader, root, *command, folder=folder)
    assert done.returncode == 0, done.stderr
    assert "database" not in done.stderr
    assert contents(root) == before
    assert bool(list(folder.glob("gateline-report-*/*.html"))) is (command[0] == "report")


def test_a_reader_sees_the_records_of_a_run_in_progress(reader: list[str], root: Path, tmp_path: Path) -> None:
    (root / "lineage.db").chmod(0o644)
    root.chmod(0o755)
    lineage = Lineage.at(root, None)
    with lineage.reading() as connection:  # its write-ahead log stays
        connection.exec_driver_sql("SELECT 1")
        number = lineage.start(profile="in progress", command="", config={})
        assert (root / "lineage.db-wal").stat().st_size
        for path in root.glob("lineage.db*"):
            path.chmod(0o444)
        root.chmod(0o555)
        done = read(reader, root, "runs", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{number}" in done.stdout
    assert "in progress" in done.stdout
    root.chmod(0o755)
    for path in root.glob("lineage.db*"):
        path.chmod(0o644)
    lineage.engine.dispose()


@pytest.mark.parametrize("index", ["lineage.db-shm", None])
def test_a_reader_sees_the_records_of_a_killed_run(
    index: str | None, reader: list[str], root: Path, tmp_path: Path
) -> None:
    """With the shared-memory index of SQLite's write-ahead log, and without it."""
    (root / "lineage.db").chmod(0o644)
    root.chmod(0o755)
    killed = f"""
import os, pathlib, signal
from pipeline.lineage import Lineage
lineage = Lineage.at(pathlib.Path({str(root)!r}), None)
lineage.start(profile="killed at once", command="", config={{}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed], cwd=ROOT, check=False)
    assert (root / "lineage.db-wal").stat().st_size
    if index is None:
        (root / "lineage.db-shm").unlink()
    for path in root.glob("lineage.db*"):
        path.chmod(0o444)
    root.chmod(0o555)
    before = contents(root)
    done = read(reader, root, "runs", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "killed at once" in done.stdout
    assert contents(root) == before


def test_a_run_without_write_access_is_refused_with_the_reason(reader: list[str], root: Path, tmp_path: Path) -> None:
    done = read(reader, root, "run", folder=tmp_path)
    assert done.returncode == 2
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr
