"""The commands `runs`, `show` and `report`."""

import json
from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from pipeline.store import Store
from tests.pipeline.command_line import ENVIRONMENT, gateline


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with two runs, the second of them refused."""
    root = Store(tmp_path / "root").root
    lineage = Lineage.at(root, None)
    first, second = (
        lineage.start(profile=name, command=f"python -m pipeline run -p {name}", config={})
        for name in ("sample", "mnist")
    )
    lineage.executed(
        first,
        "ingest",
        state="ran",
        why="first time",
        seconds=1.5,
        key="k",
        digest="d",
        path=str(root / "gone"),
        facts={},
    )
    lineage.executed(second, "ingest", state="reused", why="nothing changed", seconds=0.0)
    lineage.finish(first, state="pushed", exit_code=0)
    lineage.finish(
        second, state="refused", exit_code=3, message="refused: accuracy is 0.500; the floor is 0.900\n  Train longer."
    )
    lineage.engine.dispose()
    return root


@pytest.mark.parametrize("name", ["runs", "show", "report"])
def test_a_missing_store_is_refused(name: str, tmp_path: Path) -> None:
    done = gateline(name, "--root", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"configuration: there is no store at {tmp_path / 'none'}\n"
        "  Run the line first, or name the store with --root.\n"
    )
    assert not (tmp_path / "none").exists()


def test_a_report_of_an_empty_store_is_refused(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    done = gateline("report", "--root", root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"configuration: there is no run yet in {root}\n  List them with python -m pipeline runs.\n"


def test_an_unknown_run_is_refused(root: Path) -> None:
    done = gateline("show", 9, "--root", root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"configuration: there is no run 9 in {root}\n  List them with python -m pipeline runs.\n"


def test_runs_are_listed_newest_first(root: Path) -> None:
    done = gateline("runs", "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert [row[:2] for row in rows] == [["2", "mnist"], ["1", "sample"]]
    assert "refused: accuracy is 0.500; the floor is 0.900" in done.stdout
    listed = json.loads(gateline("runs", "--root", root, "--limit", 1, "--json").stdout)
    assert [(row["run"], row["state"]) for row in listed] == [(2, "refused")]


def test_show_prints_the_stages_and_their_reasons(root: Path) -> None:
    done = gateline("show", 1, "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(
        message in done.stdout
        for message in ("python -m pipeline run -p sample", "ingest", "ran", "first time", "pushed")
    )
    shown = json.loads(gateline("show", "--root", root, "--json").stdout)
    assert (shown["run"], shown["stages"][0]["why"]) == (2, "nothing changed")


def test_a_report_lists_missing_artifacts(root: Path) -> None:
    done = gateline("report", 1, "--root", root, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    reported = json.loads(done.stdout)
    assert reported["missing"] == ["ingest"]
    assert "<html" in Path(reported["html"]).read_text(encoding="utf-8")


def test_the_store_can_be_set_in_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "GATELINE_ROOT", str(root))
    assert [row["run"] for row in json.loads(gateline("runs", "--json").stdout)] == [2, 1]


@pytest.mark.parametrize("name", ["runs", "show", "report"])
def test_a_store_of_a_newer_version_is_refused(name: str, root: Path) -> None:
    (root / "store.json").write_text('{"format": 2}', encoding="utf-8")
    done = gateline(name, "--root", root)
    assert done.returncode == 2
    assert f"the store {root} has format 2, this version of gateline supports 1" in done.stderr
    assert "Upgrade gateline" in done.stderr


def test_a_too_large_run_number_is_refused(root: Path) -> None:
    assert gateline("show", "9" * 30, "--root", root).returncode == 2
