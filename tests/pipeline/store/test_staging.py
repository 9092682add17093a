"""Staging and scratch directories after a failed, killed or interrupted stage."""

import contextlib
import itertools
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.store import Store
from schemas.artifacts import Statistics
from tests.pipeline.store.committed import put


def test_staging_is_removed_after_a_failure(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.staging("stage", "key") as out:
        assert list(out.iterdir()) == []
        (out / "half").touch()
        raise ZeroDivisionError
    assert not out.exists()
    assert store.find("stage", "key", Statistics) is None


def test_the_next_run_removes_the_staging_of_a_killed_run(store: Store) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom pipeline.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "with store.lock(wait=False), store.staging('stage', 'key') as out:\n"
        "    (out / 'half').touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, store.root], check=False).returncode == -9
    leftover = store.root / "staging" / "stage-key" / "half"
    assert Store(store.root).find("stage", "key", Statistics) is None
    assert leftover.exists()
    with store.lock(wait=False):
        assert not leftover.exists()


def test_an_artifact_whose_replacement_was_killed_is_restored(store: Store) -> None:
    old = put(store, Statistics(Path(), counts={}), file="old")
    old.path.rename(store.root / "staging" / "replaced-stage-key")  # killed between the two renames of a forced run
    assert store.find("stage", "key", Statistics) is None
    with store.lock(wait=False):
        assert store.find("stage", "key", Statistics) == old
    assert list((store.root / "staging").iterdir()) == []


def test_a_replaced_artifact_is_not_restored(store: Store) -> None:
    old = put(store, Statistics(Path(), counts={}), file="old")
    shutil.copytree(old.path, store.root / "old")
    new = put(store, Statistics(Path(), counts={}), file="new")
    (store.root / "old").rename(
        store.root / "staging" / "replaced-stage-key"
    )  # killed just before the old artifact is removed
    with store.lock(wait=False):
        assert store.find("stage", "key", Statistics) == new


def test_scratch_of_finished_stages_is_removed_and_of_others_kept(store: Store) -> None:
    finished, forced, program = (store.scratch("stage", key) / "checkpoint" for key in ("done", "forced", "killed"))
    for key in ("done", "forced"):
        put(store, Statistics(Path(), counts={}), key)
    for path in (finished, forced, program):
        store.scratch("stage", path.parent.name.removeprefix("stage-"))
        path.touch()
    (finished.parent / "done").write_text(
        store.manifest("stage", "done")["seal"], encoding="utf-8"
    )  # killed after the rename
    (forced.parent / "done").write_text("the seal of an artifact that was never renamed", encoding="utf-8")
    with store.lock(wait=False):
        assert sorted(p.name for p in (store.root / "scratch").iterdir()) == ["stage-forced", "stage-killed"]


def test_an_interrupted_stage_leaves_nothing_while_its_threads_still_write(tmp_path: Path) -> None:
    """Beam's threads do not stop with the main thread; they write until the process ends."""
    store, stop, written = Store(tmp_path / "root"), threading.Event(), threading.Event()

    def write(out: Path) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            with contextlib.suppress(OSError):
                (out / "parts").mkdir(exist_ok=True)
                (out / "parts" / f"{number % 500}.json").write_text("{}", encoding="utf-8")
            written.set()

    with pytest.raises(KeyboardInterrupt), store.staging("describe", "key") as out:
        thread = threading.Thread(target=write, args=(out,))
        thread.start()
        written.wait()
        raise KeyboardInterrupt
    assert not out.exists()
    stop.set()
    thread.join()
    assert list((store.root / "staging").iterdir()) == []
