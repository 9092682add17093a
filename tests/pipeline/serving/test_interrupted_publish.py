"""Publishing that fails, is killed or runs twice at once: each version is complete or absent."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory
from schemas import files
from schemas.errors import Refused, StoreError
from tests.pipeline.shelves import Reader, model, publish, seen

KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from pipeline.serving import ModelDirectory
from schemas import files

def copies_one_file(source, staged, **_):
    staged.mkdir()
    shutil.copy(source / "saved_model.pb", staged)
    os.kill(os.getpid(), signal.SIGKILL)

shutil.copytree = copies_one_file
model = Path(sys.argv[2])
shelf, expected = ModelDirectory(Path(sys.argv[1]), "mnist"), files.digest(files.listing(model))
shelf.publish(model, {}, {"model": "killed", "accuracy": 0.9}, expected=expected, compared="one")
"""


def test_a_push_that_fails_midway_leaves_nothing(shelf: ModelDirectory, tmp_path: Path) -> None:
    first = publish(shelf, model(tmp_path, "one"))
    with pytest.raises(StoreError):
        publish(shelf, model(tmp_path, "two"), extra={"stats.tfrecord": tmp_path / "absent"})
    assert [p.name for p in shelf.path.iterdir() if not p.name.startswith(".")] == ["1"]
    assert shelf.latest() == first


def test_a_push_killed_midway_is_never_seen_and_the_next_one_cleans_up(shelf: ModelDirectory, tmp_path: Path) -> None:
    first = publish(shelf, model(tmp_path, "one"))
    command = [sys.executable, "-c", KILLED, shelf.root, model(tmp_path, "two")]
    assert subprocess.run(command, check=False).returncode == -9
    (leftover,) = shelf.path.glob(".staging-*")
    assert [p.name for p in leftover.iterdir()] == ["saved_model.pb"]
    assert shelf.versions() == [first]
    assert publish(shelf, model(tmp_path, "two")).number == 2
    assert not leftover.exists()
    assert set(seen(shelf.path / "2")) == {"saved_model.pb", "variables/variables.index", "provenance.json"}


def test_two_pushes_at_once_make_one_version_of_each_model_and_refuse_what_was_not_compared(
    shelf: ModelDirectory, tmp_path: Path
) -> None:
    saved = {name: model(tmp_path, name) for name in ("one", "two")}
    start, ended = threading.Barrier(8), []

    def push(name: str) -> None:
        expected = files.digest(files.listing(saved[name]))
        start.wait()
        try:
            ended.append(
                shelf.publish(saved[name], {}, {"model": name, "accuracy": 0.9}, expected=expected, compared=None)
            )
        except Refused as error:
            ended.append(error.cause)

    threads = [threading.Thread(target=push, args=(name,)) for name in ("one", "two") * 4]
    with Reader(shelf) as reader:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (version,) = shelf.versions()
    assert ended.count("version 1 was pushed while this model was evaluated") == 4
    assert sorted(new for each in ended if isinstance(each, tuple) for new in each[1:]) == [False, False, False, True]
    assert all(each[0] == version for each in ended if isinstance(each, tuple))
    assert (reader.wrong, reader.found) == ([], {1})


def test_what_killed_processes_left_is_gone_after_the_next_write(shelf: ModelDirectory, tmp_path: Path) -> None:
    publish(shelf, model(tmp_path, "one"))
    for name in (".staging-2", ".removing-1"):
        (shelf.path / name / "variables").mkdir(parents=True)
    for name in ("..highest.77", "..pinned.json.77", ".history/.1.json.77"):
        (shelf.path / name).write_text("half", encoding="utf-8")
    publish(shelf, model(tmp_path, "two"))
    assert {p.name for p in shelf.path.iterdir()} == {"1", "2", ".highest", ".history", ".lock"}
    assert {p.name for p in (shelf.path / ".history").iterdir()} == {"1.json", "2.json"}
