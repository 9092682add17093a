"""Versions in a model directory: their numbers and provenance, and what publishing refuses."""

import json
from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory
from schemas import files
from schemas.errors import Refused, StoreError
from tests.pipeline.shelves import model, publish, seen


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
