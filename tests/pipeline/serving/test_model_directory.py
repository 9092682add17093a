"""Versions in a model directory: their numbers and provenance, and what publishing refuses."""

import json
from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory
from schemas import disk, files
from schemas.errors import ConfigurationError, Refused, StoreError
from tests.pipeline.published import contents, model, publish


def test_an_empty_model_directory_has_no_versions(model_directory: ModelDirectory) -> None:
    assert model_directory.versions() == []
    assert model_directory.latest() is None
    assert not model_directory.root.exists()


def test_published_models_are_numbered_in_order(model_directory: ModelDirectory, tmp_path: Path) -> None:
    one, two = (publish(model_directory, model(tmp_path, name)) for name in ("one", "two"))
    assert [(v.number, v.digest) for v in model_directory.versions()] == [(1, "one"), (2, "two")]
    assert [one, two] == model_directory.versions()
    assert model_directory.latest() == two
    assert (two.path / "variables" / "variables.index").read_text(encoding="utf-8") == "weights of two"


def test_provenance_lists_the_origin_and_all_files(model_directory: ModelDirectory, tmp_path: Path) -> None:
    statistics = tmp_path / "stats.tfrecord"
    statistics.write_text("statistics", encoding="utf-8")
    version = publish(model_directory, model(tmp_path, "one"), extra={"data/stats.tfrecord": statistics})
    provenance = json.loads((version.path / "provenance.json").read_text(encoding="utf-8"))
    assert provenance == version.provenance
    assert (provenance["model"], provenance["run"], provenance["version"]) == ("one", 7, 1)
    names = {"saved_model.pb", "variables/variables.index", "data/stats.tfrecord"}
    assert set(provenance["files"]) == names
    assert files.differences(version.path, provenance["files"], contents=True) == []
    assert set(contents(version.path)) == names | {"provenance.json"}


def test_publishing_the_served_model_again_creates_no_version(model_directory: ModelDirectory, tmp_path: Path) -> None:
    first = publish(model_directory, model(tmp_path, "one"))
    before = contents(model_directory.path)
    assert publish(model_directory, model(tmp_path, "one")) == first
    assert contents(model_directory.path) == before


def test_publishing_an_earlier_model_creates_a_new_version(model_directory: ModelDirectory, tmp_path: Path) -> None:
    numbers = [publish(model_directory, model(tmp_path, name)).number for name in ("one", "two", "one")]
    assert numbers == [1, 2, 3]


def test_version_numbers_continue_after_gaps_and_beyond_nine(model_directory: ModelDirectory, tmp_path: Path) -> None:
    for name in "abcdefghij":
        publish(model_directory, model(tmp_path, name))
    disk.remove(model_directory.path / "3")
    assert publish(model_directory, model(tmp_path, "k")).number == 11
    assert [v.number for v in model_directory.versions()] == [1, 2, 4, 5, 6, 7, 8, 9, 10, 11]


def test_models_with_different_names_are_numbered_separately(model_directory: ModelDirectory, tmp_path: Path) -> None:
    publish(model_directory, model(tmp_path, "one"))
    assert publish(ModelDirectory(model_directory.root, "other"), model(tmp_path, "two")).number == 1


@pytest.mark.parametrize("foreign", ["notes.txt", "7", "latest"])
def test_a_foreign_file_is_refused_and_nothing_changes(
    model_directory: ModelDirectory, tmp_path: Path, foreign: str
) -> None:
    publish(model_directory, model(tmp_path, "one"))
    (model_directory.path / foreign).write_text("mine", encoding="utf-8")
    before = contents(model_directory.root)
    with pytest.raises(StoreError) as error:
        publish(model_directory, model(tmp_path, "two"))
    assert str(error.value) == (
        f"store: {model_directory.path / foreign} in the serving directory was not written by gateline\n"
        "  Move it away, or name another --serving-dir. Nothing was changed."
    )
    assert error.value.exit_code == 2
    assert contents(model_directory.root) == before


@pytest.mark.parametrize("provenance", [None, "", "[]", "{}", '{"run": 3}', '{"model": '])
def test_a_foreign_version_is_refused_and_nothing_changes(
    model_directory: ModelDirectory, tmp_path: Path, provenance: str | None
) -> None:
    (model_directory.path / "3").mkdir(parents=True)
    (model_directory.path / "3" / "saved_model.pb").write_text("theirs", encoding="utf-8")
    if provenance is not None:
        (model_directory.path / "3" / "provenance.json").write_text(provenance, encoding="utf-8")
    before = contents(model_directory.root)
    with pytest.raises(StoreError) as error:
        publish(model_directory, model(tmp_path, "two"))
    assert error.value.cause == (
        f"{model_directory.path / '3'} in the serving directory has no readable provenance.json: "
        "it was not pushed by gateline"
    )
    assert contents(model_directory.root) == before


def test_a_link_to_a_version_is_refused(model_directory: ModelDirectory, tmp_path: Path) -> None:
    first = publish(model_directory, model(tmp_path, "one"))
    (model_directory.path / "2").symlink_to(first.path)
    with pytest.raises(StoreError, match="2 in the serving directory was not written by gateline"):
        model_directory.versions()


def test_a_model_altered_after_its_evaluation_is_refused(model_directory: ModelDirectory, tmp_path: Path) -> None:
    publish(model_directory, model(tmp_path, "one"))
    before = contents(model_directory.root)
    altered = model(tmp_path / "artifacts" / "train", "two")
    expected = files.digest(files.listing(altered))
    (altered / "variables" / "variables.index").write_text("weights of zwo", encoding="utf-8")
    with pytest.raises(Refused) as error:
        model_directory.publish(altered, {}, {"model": "two"}, expected=expected, compared="one")
    assert str(error.value) == (
        f"refused: {altered} is not the model that was evaluated: its digest changed\n  Run again with --force train."
    )
    assert error.value.exit_code == 3
    assert contents(model_directory.root) == before


@pytest.mark.parametrize("compared", [None, "one"])
def test_a_model_that_was_not_compared_with_the_served_version_is_refused(
    model_directory: ModelDirectory, tmp_path: Path, compared: str | None
) -> None:
    """Two concurrent runs: each was compared with the version that was served when it started."""
    for name in ("one", "two"):
        publish(model_directory, model(tmp_path, name))
    before, third = contents(model_directory.root), model(tmp_path, "three")
    with pytest.raises(Refused) as error:
        model_directory.publish(
            third, {}, {"model": "three"}, expected=files.digest(files.listing(third)), compared=compared
        )
    assert error.value.cause == "version 2 was pushed while this model was evaluated"
    assert error.value.remedy == "Run again to compare it with the version that is served now."
    assert contents(model_directory.root) == before


def test_a_symbolic_link_in_a_model_is_refused(model_directory: ModelDirectory, tmp_path: Path) -> None:
    saved, secret = model(tmp_path, "one"), tmp_path / "secret"
    secret.write_text("graph of one", encoding="utf-8")
    expected = files.digest(files.listing(saved))
    (saved / "saved_model.pb").unlink()
    (saved / "saved_model.pb").symlink_to(secret)
    with pytest.raises(StoreError, match="is a symbolic link; artifacts hold plain files only"):
        model_directory.publish(saved, {}, {"model": "one", "accuracy": 0.9}, expected=expected, compared=None)
    assert [p.name for p in model_directory.path.iterdir() if p.name != ".lock"] == []


def test_models_with_the_same_identity_are_the_same_version(model_directory: ModelDirectory, tmp_path: Path) -> None:
    first = publish(model_directory, model(tmp_path, "one"), identity="the same function")
    assert publish(model_directory, model(tmp_path, "other bytes"), identity="the same function") == first
    assert publish(model_directory, model(tmp_path, "one"), identity="another function").number == 2


@pytest.mark.parametrize("name", ["a[1", "a]", "a\\b"])
def test_a_directory_that_tensorflow_cannot_load_from_gets_no_version(name: str, tmp_path: Path) -> None:
    """Also where the model's own check passes: TensorFlow finds the weights of a model by a glob."""
    directory = ModelDirectory(tmp_path / name, "mnist")
    with pytest.raises(
        ConfigurationError,
        match="TensorFlow cannot load a model from there",
    ):
        publish(directory, model(tmp_path, "one"))
    assert not directory.root.exists()
