"""The command `run`: refused configurations and stages, dry runs, a locked store."""

import json
from pathlib import Path

from pipeline.store import Store
from tests.pipeline.command_line import gateline


def test_a_bad_configuration_exits_with_2_and_creates_no_store(tmp_path: Path) -> None:
    done = gateline("run", "--set", "train.epoch=3", "--root", tmp_path / "root")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "configuration: train.epoch is not a setting. Did you mean train.epochs? (profile sample, --set)\n"
    )
    assert not (tmp_path / "root").exists()


def test_control_characters_in_an_error_do_not_reach_the_terminal(tmp_path: Path) -> None:
    done = gateline("run", "--profile", "\x1b[31mred\a", "--root", tmp_path / "root")
    assert done.stderr.startswith("configuration: there is no profile [31mred\n")


def test_an_unknown_stage_exits_with_2(tmp_path: Path) -> None:
    done = gateline("run", "--dry-run", "--from", "trian", "--root", tmp_path / "root")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "configuration: trian is not a stage of this run\n  Its stages are ingest, describe, "
    )


def test_a_dry_run_prints_the_plan_and_runs_nothing(tmp_path: Path) -> None:
    done = gateline("run", "--dry-run", "--json", "--root", tmp_path / "root")
    assert (done.returncode, done.stderr) == (0, "")
    steps = json.loads(done.stdout)
    assert steps[0] == {"stage": "source_data", "action": "resolve", "why": "looked up"}
    assert steps[1] == {"stage": "ingest", "action": "run", "why": "first time"}
    assert steps[-1]["stage"] == "push"
    written = {p.name for p in (tmp_path / "root").rglob("*") if p.is_file() and not p.name.startswith(".")}
    assert {"store.json"} <= written <= {"store.json", "digests.json"}  # digests of prepared files are cached
    assert [p.name for p in tmp_path.iterdir()] == ["root"]


def test_a_concurrent_run_exits_with_5(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    with store.lock(wait=False):
        done = gateline("run", "--root", store.root)
    assert (
        done.stderr
        == f"locked: another run holds {store.root / 'lock'}\n  Wait for it with --wait, or name another --root.\n"
    )
    assert (done.returncode, done.stdout) == (5, "")
