"""Publishing that fails, is killed or runs twice at once: each version is complete or absent."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory
from schemas import files
from schemas.errors import Refused, StoreError
from tests.pipeline.published import Reader, contents, model, publish

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
model_directory, expected = ModelDirectory(Path(sys.argv[1]), "mnist"), files.digest(files.listing(model))
model_directory.publish(model, {}, {"model": "killed", "accuracy": 0.9}, expected=expected, compared="one")
"""


def test_a_failed_push_leaves_no_version(model_directory: ModelDirectory, tmp_path: Path) -> None:
    first_version = publish(model_directory, model(tmp_path, "one"))
    with pytest.raises(StoreError):
        publish(model_directory, model(tmp_path, "two"), extra={"stats.tfrecord": tmp_path / "absent"})
    assert [p.name for p in model_directory.path.iterdir() if not p.name.startswith(".")] == ["1"]
    assert model_directory.latest() == first_version


def test_a_killed_push_leaves_no_version_and_the_next_push_cleans_up(
    model_directory: ModelDirectory, tmp_path: Path
) -> None:
    first_version = publish(model_directory, model(tmp_path, "one"))
    command = [sys.executable, "-c", KILLED, model_directory.root, model(tmp_path, "two")]
    assert subprocess.run(command, check=False).returncode == -9
    (leftover,) = model_directory.path.glob(".staging-*")
    assert [p.name for p in leftover.iterdir()] == ["saved_model.pb"]
    assert model_directory.versions() == [first_version]
    assert publish(model_directory, model(tmp_path, "two")).number == 2
    assert not leftover.exists()
    assert set(contents(model_directory.path / "2")) == {
        "saved_model.pb",
        "variables/variables.index",
        "provenance.json",
    }


def test_concurrent_pushes_publish_one_model_and_refuse_the_other(
    model_directory: ModelDirectory, tmp_path: Path
) -> None:
    saved = {name: model(tmp_path, name) for name in ("one", "two")}
    start, ended = threading.Barrier(8), []

    def push(name: str) -> None:
        expected = files.digest(files.listing(saved[name]))
        start.wait()
        try:
            ended.append(
                model_directory.publish(
                    saved[name], {}, {"model": name, "accuracy": 0.9}, expected=expected, compared=None
                )
            )
        except Refused as error:
            ended.append(error.cause)

    threads = [threading.Thread(target=push, args=(name,)) for name in ("one", "two") * 4]
    with Reader(model_directory) as reader:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (version,) = model_directory.versions()
    assert ended.count("version 1 was pushed while this model was evaluated") == 4
    assert sorted(new for each in ended if isinstance(each, tuple) for new in each[1:]) == [False, False, False, True]
    assert all(each[0] == version for each in ended if isinstance(each, tuple))
    assert (reader.errors, reader.versions_seen) == ([], {1})


def test_the_next_push_removes_files_of_killed_processes(model_directory: ModelDirectory, tmp_path: Path) -> None:
    publish(model_directory, model(tmp_path, "one"))
    for name in (".staging-2", ".removing-1"):
        (model_directory.path / name / "variables").mkdir(parents=True)
    for name in ("..highest.77", "..pinned.json.77", ".history/.1.json.77"):
        (model_directory.path / name).write_text("half", encoding="utf-8")
    publish(model_directory, model(tmp_path, "two"))
    assert {p.name for p in model_directory.path.iterdir()} == {"1", "2", ".highest", ".history", ".lock"}
    assert {p.name for p in (model_directory.path / ".history").iterdir()} == {"1.json", "2.json"}
