"""The serving directory: each version complete or absent, and nobody else's files touched."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory, writable
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


@pytest.fixture
def shelf(tmp_path: Path) -> ModelDirectory:
    return ModelDirectory(tmp_path / "serving", "mnist")


def test_an_empty_shelf_has_no_versions(shelf: ModelDirectory) -> None:
    assert shelf.versions() == []
    assert shelf.latest() is None
    assert not shelf.root.exists()


def test_models_become_versions_one_and_two(shelf: ModelDirectory, tmp_path: Path) -> None:
    one, two = (publish(shelf, model(tmp_path, name)) for name in ("one", "two"))
    assert [(v.number, v.digest) for v in shelf.versions()] == [(1, "one"), (2, "two")]
    assert [one, two] == shelf.versions()
    assert shelf.latest() == two
    assert (two.path / "variables" / "variables.index").read_text(encoding="utf-8") == "weights of two"


def test_a_version_says_what_it_was_made_from_and_of_which_files_it_is(shelf: ModelDirectory, tmp_path: Path) -> None:
    statistics = tmp_path / "stats.tfrecord"
    statistics.write_text("statistics", encoding="utf-8")
    version = publish(shelf, model(tmp_path, "one"), extra={"data/stats.tfrecord": statistics})
    provenance = json.loads((version.path / "provenance.json").read_text(encoding="utf-8"))
    assert provenance == version.provenance
    assert (provenance["model"], provenance["run"], provenance["version"]) == ("one", 7, 1)
    names = {"saved_model.pb", "variables/variables.index", "data/stats.tfrecord"}
    assert set(provenance["files"]) == names
    assert files.differences(version.path, provenance["files"], contents=True) == []
    assert set(seen(version.path)) == names | {"provenance.json"}


def test_the_same_model_again_is_the_same_version(shelf: ModelDirectory, tmp_path: Path) -> None:
    first = publish(shelf, model(tmp_path, "one"))
    before = seen(shelf.path)
    assert publish(shelf, model(tmp_path, "one")) == first
    assert seen(shelf.path) == before


def test_a_model_that_comes_back_is_a_new_version(shelf: ModelDirectory, tmp_path: Path) -> None:
    numbers = [publish(shelf, model(tmp_path, name)).number for name in ("one", "two", "one")]
    assert numbers == [1, 2, 3]


def test_versions_grow_past_gaps_and_past_nine(shelf: ModelDirectory, tmp_path: Path) -> None:
    for name in "abcdefghij":
        publish(shelf, model(tmp_path, name))
    files.remove(shelf.path / "3")
    assert publish(shelf, model(tmp_path, "k")).number == 11
    assert [v.number for v in shelf.versions()] == [1, 2, 4, 5, 6, 7, 8, 9, 10, 11]


def test_models_of_other_names_are_apart(shelf: ModelDirectory, tmp_path: Path) -> None:
    publish(shelf, model(tmp_path, "one"))
    assert publish(ModelDirectory(shelf.root, "other"), model(tmp_path, "two")).number == 1


@pytest.mark.parametrize("foreign", ["notes.txt", "7", "latest"])
def test_a_foreign_file_is_refused_and_nothing_is_changed(shelf: ModelDirectory, tmp_path: Path, foreign: str) -> None:
    publish(shelf, model(tmp_path, "one"))
    (shelf.path / foreign).write_text("mine", encoding="utf-8")
    before = seen(shelf.root)
    with pytest.raises(StoreError) as error:
        publish(shelf, model(tmp_path, "two"))
    assert str(error.value) == (
        f"store: {shelf.path / foreign} in the serving directory was not written by gateline\n"
        "  Move it away, or name another --serving-dir. Nothing was changed."
    )
    assert error.value.exit_code == 2
    assert seen(shelf.root) == before


@pytest.mark.parametrize("provenance", [None, "", "[]", "{}", '{"run": 3}', '{"model": '])
def test_a_version_of_somebody_else_is_refused_and_nothing_is_changed(
    shelf: ModelDirectory, tmp_path: Path, provenance: str | None
) -> None:
    (shelf.path / "3").mkdir(parents=True)
    (shelf.path / "3" / "saved_model.pb").write_text("theirs", encoding="utf-8")
    if provenance is not None:
        (shelf.path / "3" / "provenance.json").write_text(provenance, encoding="utf-8")
    before = seen(shelf.root)
    with pytest.raises(StoreError) as error:
        publish(shelf, model(tmp_path, "two"))
    assert (
        error.value.cause
        == f"{shelf.path / '3'} in the serving directory has no readable provenance.json: it was not pushed by gateline"
    )
    assert seen(shelf.root) == before


def test_a_link_to_a_version_is_refused(shelf: ModelDirectory, tmp_path: Path) -> None:
    first = publish(shelf, model(tmp_path, "one"))
    (shelf.path / "2").symlink_to(first.path)
    with pytest.raises(StoreError, match="2 in the serving directory was not written by gateline"):
        shelf.versions()


def test_a_model_that_was_altered_since_its_evaluation_is_refused_and_nothing_is_changed(
    shelf: ModelDirectory, tmp_path: Path
) -> None:
    publish(shelf, model(tmp_path, "one"))
    before = seen(shelf.root)
    altered = model(tmp_path, "two")
    expected = files.digest(files.listing(altered))
    (altered / "variables" / "variables.index").write_text("weights of zwo", encoding="utf-8")
    with pytest.raises(Refused) as error:
        shelf.publish(altered, {}, {"model": "two"}, expected=expected, compared="one")
    assert str(error.value) == (
        f"refused: {altered} is not the model that was evaluated: its digest changed\n  Run again with --force train."
    )
    assert error.value.exit_code == 3
    assert seen(shelf.root) == before


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


def test_a_serving_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "serving"
    for use in (lambda: writable(root), lambda: publish(ModelDirectory(root, "mnist"), model(tmp_path, "one"))):
        with pytest.raises(StoreError) as error:
            use()
        assert str(error.value) == (
            f"store: cannot write to the serving directory {root}: Not a directory\n"
            "  Name another with --root or --serving-dir."
        )


def test_asking_whether_a_directory_is_writable_leaves_nothing_in_it(tmp_path: Path) -> None:
    writable(tmp_path / "deep" / "serving")
    assert list((tmp_path / "deep" / "serving").iterdir()) == []


@pytest.mark.parametrize("compared", [None, "one"])
def test_a_model_that_was_not_compared_with_what_is_served_now_is_refused(
    shelf: ModelDirectory, tmp_path: Path, compared: str | None
) -> None:
    """Two runs at once: each was compared with what stood there when it began."""
    for name in ("one", "two"):
        publish(shelf, model(tmp_path, name))
    before, third = seen(shelf.root), model(tmp_path, "three")
    with pytest.raises(Refused) as error:
        shelf.publish(third, {}, {"model": "three"}, expected=files.digest(files.listing(third)), compared=compared)
    assert error.value.cause == "version 2 was pushed while this model was evaluated"
    assert error.value.remedy == "Run again to compare it with the version that is served now."
    assert seen(shelf.root) == before


def test_versions_that_were_removed_are_remembered(shelf: ModelDirectory, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        publish(shelf, model(tmp_path, name))
    files.remove(shelf.path / "2")
    found = [(record.version, record.model, record.accuracy, record.test) for record in shelf.history()]
    assert found == [(1, "one", 0.9, "t"), (2, "two", 0.9, "t"), (3, "three", 0.9, "t")]
    assert [version.number for version in shelf.versions()] == [1, 3]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("1.json", '{"version": 1, "mod'),
        ("1.json", "{}"),
        ("1.json", "[]"),
        ("12x.json", "{}"),
        ("1.json", '{"version": 1, "model": "one", "accuracy": 0.9, "test": "t", "more": 1}'),
        ("1.json", '{"version": 1, "model": "one", "accuracy": null, "test": "t"}'),
        ("2.json", '{"version": 1, "model": "one", "accuracy": 0.9, "test": "t"}'),
    ],
)
def test_a_damaged_record_of_a_served_version_is_named(
    shelf: ModelDirectory, tmp_path: Path, name: str, content: str
) -> None:
    publish(shelf, model(tmp_path, "one"))
    damaged = shelf.path / ".history" / name
    damaged.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError) as error:
        shelf.history()
    assert error.value.cause == f"{damaged} is not a record of a served version"


def test_a_version_that_says_something_else_than_its_record_is_named(shelf: ModelDirectory, tmp_path: Path) -> None:
    version = publish(shelf, model(tmp_path, "one"))
    path = version.path / "provenance.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.9", "0.5"), encoding="utf-8")
    with pytest.raises(StoreError) as error:
        shelf.history()
    assert error.value.cause == f"{path} and {shelf.path / '.history' / '1.json'} differ"


def test_a_record_of_an_older_version_of_the_program_still_counts(shelf: ModelDirectory, tmp_path: Path) -> None:
    for name in ("one", "two"):
        publish(shelf, model(tmp_path, name))
    for number, name in ((1, "one"), (2, "two")):
        old = {"version": number, "model": name, "accuracy": 0.9, "test": "t"}
        (shelf.path / ".history" / f"{number}.json").write_text(json.dumps(old), encoding="utf-8")
    files.remove(shelf.path / "1")
    assert [(r.version, r.model, r.identity, r.origin) for r in shelf.history()] == [
        (1, "one", "one", 1),
        (2, "two", "two", 2),
    ]


def test_a_link_in_a_model_is_refused_and_not_followed(shelf: ModelDirectory, tmp_path: Path) -> None:
    saved, secret = model(tmp_path, "one"), tmp_path / "secret"
    secret.write_text("graph of one", encoding="utf-8")
    expected = files.digest(files.listing(saved))
    (saved / "saved_model.pb").unlink()
    (saved / "saved_model.pb").symlink_to(secret)
    with pytest.raises(StoreError, match="is a symbolic link; artifacts hold plain files only"):
        shelf.publish(saved, {}, {"model": "one", "accuracy": 0.9}, expected=expected, compared=None)
    assert [p.name for p in shelf.path.iterdir() if p.name != ".lock"] == []


def test_a_model_that_computes_the_same_is_the_same_whatever_its_bytes(shelf: ModelDirectory, tmp_path: Path) -> None:
    first = publish(shelf, model(tmp_path, "one"), identity="what it computes")
    assert publish(shelf, model(tmp_path, "other bytes"), identity="what it computes") == first
    assert publish(shelf, model(tmp_path, "one"), identity="something else").number == 2


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
