"""Every change is found and reported with artifact and file; exit codes of the command."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.lineage import now
from pipeline.store import Store
from pipeline.store.verify import verify
from schemas.artifacts import Statistics
from tests.pipeline.command_line import gateline
from tests.pipeline.conftest import OpenLineage


@pytest.fixture
def artifact(store: Store) -> Path:
    with store.staging("stage", "key") as out:
        (out / "deep").mkdir()
        for name in ("one", "deep/two"):
            (out / name).write_text("x" * 2000, encoding="utf-8")
        return store.commit(Statistics(out, counts={}), "stage", "key", {}, now()).path


def damages(store: Store, open_lineage: OpenLineage) -> list[tuple[str, str]]:
    return [(d.artifact, d.what) for d in verify(store, open_lineage(f"sqlite:///{store.root / 'lineage.db'}")).damage]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap_manifest(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    manifest["facts"] = {"counts": {"train": 1}}
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit": (lambda p: flip(p / "deep/two"), "deep/two was altered: its SHA-256 differs from the manifest's"),
    "a file removed": (lambda p: (p / "one").unlink(), "one is missing"),
    "a file cut": (
        lambda p: (p / "one").write_text("x", encoding="utf-8"),
        "one has 1 bytes, its manifest states 2,000",
    ),
    "a file added": (lambda p: (p / "deep/three").touch(), "deep/three is not in its manifest"),
    "a link": (
        lambda p: ((p / "one").unlink(), (p / "one").symlink_to(p / "deep/two")),
        "one is a symbolic link, or is behind one",
    ),
    "a link to nowhere": (lambda p: (p / "three").symlink_to("/nowhere"), "three is not in its manifest"),
    "no manifest": (lambda p: (p / "manifest.json").unlink(), "it has no readable manifest.json, so no run uses it"),
    "a bit of the manifest": (
        lambda p: flip(p / "manifest.json"),
        "it has no readable manifest.json, so no run uses it",
    ),
    "half a manifest": (
        lambda p: (p / "manifest.json").write_text(
            (p / "manifest.json").read_text(encoding="utf-8")[:200], encoding="utf-8"
        ),
        "it has no readable manifest.json, so no run uses it",
    ),
    "other facts": (swap_manifest, "it has no readable manifest.json, so no run uses it"),
    "all behind a link": (
        lambda p: (p.rename(p.parents[3] / "away"), p.symlink_to(p.parents[3] / "away")),
        "it is a symbolic link",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_found(store: Store, open_lineage: OpenLineage, artifact: Path, name: str) -> None:
    assert damages(store, open_lineage) == []
    alter, message = CHANGES[name]
    alter(artifact)
    assert ("stage/key", message) in damages(store, open_lineage)


def test_a_renamed_artifact_is_found(store: Store, open_lineage: OpenLineage, artifact: Path) -> None:
    artifact.rename(artifact.with_name("another"))
    assert damages(store, open_lineage) == [("stage/another", "it is stage/key, moved here")]


def test_a_damaged_lineage_is_found(store: Store, open_lineage: OpenLineage) -> None:
    import sqlite3

    lineage = open_lineage(f"sqlite:///{store.root / 'lineage.db'}")
    number = lineage.start(profile="", command="", config={})
    lineage.executed(number, "ingest", state="ran", why="", seconds=0.0)
    lineage.engine.dispose()
    with sqlite3.connect(store.root / "lineage.db") as c:
        c.execute("DELETE FROM runs")
    c.close()
    assert damages(store, open_lineage) == [("lineage", "executions row 1 refers to a missing runs")]


def test_store_commands_report_damage_as_text_json_and_exit_code(
    store: Store, open_lineage: OpenLineage, artifact: Path
) -> None:
    root = ["--root", str(store.root)]
    lineage = open_lineage(f"sqlite:///{store.root / 'lineage.db'}")
    number = lineage.start(profile="", command="", config={})
    lineage.executed(number, "stage", state="ran", why="", seconds=0.0, key="key")
    lineage.finish(number, state="pushed", exit_code=0)
    intact = gateline("store", "verify", *root)
    assert (intact.returncode, intact.stdout, intact.stderr) == (
        0,
        "1 artifacts, 2 files, 4.0 KB: all intact\n",
        "",
    )
    flip(artifact / "one")
    damaged = gateline("store", "verify", *root)
    assert damaged.returncode == 4
    assert re.search(r"stage/key +one was altered: its SHA-256 differs from the manifest's", damaged.stdout)
    assert damaged.stderr == (
        f"data: 1 problem in the store {store.root}\n"
        f"  Remove {store.root}/artifacts/stage/key: the next run that needs it makes it again.\n"
    )
    as_json = gateline("store", "verify", "--json", *root)
    assert json.loads(as_json.stdout)["damage"][0]["artifact"] == "stage/key"
    dry = gateline("store", "gc", "--keep-runs", "0", "--dry-run", *root)
    assert (dry.returncode, dry.stderr) == (0, "")
    assert dry.stdout.startswith(
        "artifact  stage/key\n1 artifacts, 0 scratch directories, 0 reports, logs and pinned inputs: "
    )
    assert artifact.exists()
    removed = json.loads(gateline("store", "gc", "--keep-runs", "0", "--json", *root).stdout)
    assert (removed["artifacts"], removed["removed"]) == (["stage/key"], True)
    assert not artifact.exists()
    with store.lock(wait=False):
        locked = gateline("store", "gc", "--keep-runs", "0", *root)
    assert (locked.returncode, locked.stderr.splitlines()[0]) == (5, f"locked: another run holds {store.root / 'lock'}")
