"""Rollback publishes an earlier model as a new version; the rolled-back model stays refused until it is restored."""

from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory
from schemas import disk
from schemas.errors import ConfigurationError, DataError, Refused, StoreError
from tests.pipeline.published import Reader, contents, model, publish


@pytest.fixture
def model_directory(tmp_path: Path) -> ModelDirectory:
    """Models one, two and three, as versions 1 to 3."""
    directory = ModelDirectory(tmp_path / "serving", "mnist")
    for name in ("one", "two", "three"):
        publish(directory, model(tmp_path, name))
    return directory


def numbers_and_models(model_directory: ModelDirectory) -> list[tuple[int, str]]:
    return [(version.number, version.digest) for version in model_directory.versions()]


def test_a_rollback_publishes_the_previous_model_with_the_reason(model_directory: ModelDirectory) -> None:
    restored = model_directory.rollback(reason="slow")
    assert restored == model_directory.latest()
    assert numbers_and_models(model_directory) == [(1, "one"), (2, "two"), (3, "three"), (4, "two")]
    rollback = restored.rollback
    assert rollback is not None
    assert (rollback["of"], rollback["to"], rollback["reason"]) == (3, 2, "slow")
    assert (restored.provenance["version"], restored.origin, restored.provenance["run"]) == (4, 2, 7)
    before = model_directory.version(2).path
    assert {k: v for k, v in contents(restored.path).items() if k != "provenance.json"} == {
        k: v for k, v in contents(before).items() if k != "provenance.json"
    }
    assert model_directory.differences(restored) == []


def test_repeated_rollbacks_go_further_back_until_no_version_is_left(model_directory: ModelDirectory) -> None:
    assert [model_directory.rollback().digest for _ in range(2)] == ["two", "one"]
    with pytest.raises(Refused) as error:
        model_directory.rollback()
    assert error.value.cause == "mnist has no earlier version with another model than version 5"
    assert numbers_and_models(model_directory)[-1] == (5, "one")


def test_a_rolled_back_model_is_not_pushed_again(model_directory: ModelDirectory, tmp_path: Path) -> None:
    model_directory.rollback()
    before = contents(model_directory.root)
    with pytest.raises(Refused) as error:
        publish(model_directory, model(tmp_path, "three"))
    assert str(error.value) == (
        "refused: version 3, which is this model, was rolled back\n"
        "  Train a new model, or restore it: "
        f"python -m pipeline serving rollback --to 3 --serving-dir {model_directory.root} --model mnist"
    )
    assert contents(model_directory.root) == before
    disk.remove(model_directory.version(3).path)
    with pytest.raises(Refused) as error:
        publish(model_directory, model(tmp_path, "three"))
    assert error.value.remedy == "Train a new model."


def test_a_rolled_back_model_stays_refused_after_another_push(model_directory: ModelDirectory, tmp_path: Path) -> None:
    model_directory.rollback()
    assert publish(model_directory, model(tmp_path, "four")).number == 5
    with pytest.raises(Refused, match="version 3, which is this model, was rolled back"):
        publish(model_directory, model(tmp_path, "three"))


def test_a_rolled_back_version_can_be_restored(model_directory: ModelDirectory, tmp_path: Path) -> None:
    model_directory.rollback()
    assert model_directory.rolled_back() == {"three": 3}
    assert model_directory.rollback(to=3).digest == "three"
    assert model_directory.rolled_back() == {}
    assert model_directory.rollback().digest == "two"


def test_a_rolled_back_model_no_longer_counts_as_the_best(model_directory: ModelDirectory, tmp_path: Path) -> None:
    publish(model_directory, model(tmp_path, "lucky"), accuracy=0.99)
    assert model_directory.best("t") == (model_directory.history()[-1], model_directory.latest())
    model_directory.rollback()
    best = model_directory.best("t")
    assert best
    assert (best[0].accuracy, best[0].model, best[1]) == (0.9, "three", model_directory.latest())


@pytest.mark.parametrize(
    ("to", "cause"),
    [
        (3, "version 3, which is served, holds the model of version 3"),
        (9, "there is no version 9 of mnist in {root}"),
    ],
)
def test_an_invalid_rollback_target_is_refused(model_directory: ModelDirectory, to: int, cause: str) -> None:
    before = contents(model_directory.root)
    with pytest.raises(ConfigurationError) as error:
        model_directory.rollback(to=to)
    assert error.value.cause == cause.format(root=model_directory.root)
    assert contents(model_directory.root) == before


def test_a_rollback_without_a_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no version of mnist is served"):
        ModelDirectory(tmp_path / "serving", "mnist").rollback()


def test_an_altered_older_version_is_not_served_again(model_directory: ModelDirectory) -> None:
    (model_directory.version(2).path / "saved_model.pb").write_text("graph of twu", encoding="utf-8")
    with pytest.raises(DataError) as error:
        model_directory.rollback()
    altered = "saved_model.pb was altered: its SHA-256 differs from the manifest's"
    assert error.value.cause == f"{model_directory.path / '2'} was altered since it was pushed: {altered}"
    assert model_directory.rollback(to=1).digest == "one"


def test_an_altered_served_version_can_be_rolled_back(model_directory: ModelDirectory) -> None:
    (model_directory.version(3).path / "saved_model.pb").write_text("broken", encoding="utf-8")
    assert model_directory.rollback(reason="a flipped bit").digest == "two"


def test_a_version_number_is_never_reused(model_directory: ModelDirectory, tmp_path: Path) -> None:
    disk.remove(model_directory.rollback().path)
    assert publish(model_directory, model(tmp_path, "four")).number == 5


def test_a_reader_always_sees_a_complete_version(model_directory: ModelDirectory, tmp_path: Path) -> None:
    with Reader(model_directory) as reader:
        for i in range(10):
            publish(model_directory, model(tmp_path, f"new {i}"), accuracy=0.5)
            model_directory.rollback()
            model_directory.apply_retention(2)
    assert (reader.errors, reader.gaps) == ([], 0)
    assert reader.reads > 10
    assert max(reader.versions_seen) == 23
    assert {"three"} <= {version.digest for version in model_directory.versions()}


def alter(version: Path, change: str, tmp_path: Path) -> None:
    graph = version / "saved_model.pb"
    if change == "missing":
        graph.unlink()
    elif change == "longer":
        graph.write_text("a longer graph", encoding="utf-8")
    elif change == "flipped":
        graph.write_bytes(bytes([graph.read_bytes()[0] ^ 1]) + graph.read_bytes()[1:])
    elif change == "added":
        (version / "variables" / "more").write_text("more", encoding="utf-8")
    elif change == "manifest":
        (version / "manifest.json").write_text("{}", encoding="utf-8")
    elif change == "link":
        (tmp_path / "same").write_bytes(graph.read_bytes())
        graph.unlink()
        graph.symlink_to(tmp_path / "same")
    else:
        path = version / "provenance.json"
        path.write_text(path.read_text(encoding="utf-8").replace('"run": 7', '"run": 8'), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "saved_model.pb is missing"),
        ("longer", "saved_model.pb has 14 bytes, its manifest states 12"),
        ("flipped", "saved_model.pb was altered: its SHA-256 differs from the manifest's"),
        ("added", "variables/more was added"),
        ("manifest", "manifest.json was added"),
        ("link", "saved_model.pb is a symbolic link, or is behind one"),
        ("provenance", "provenance.json was altered: {directory}/.history/2.json differs"),
    ],
)
def test_differences_name_each_change(
    model_directory: ModelDirectory, tmp_path: Path, change: str, message: str
) -> None:
    alter(model_directory.version(2).path, change, tmp_path)
    assert {v.number: model_directory.differences(v) for v in model_directory.versions()} == {
        1: [],
        2: [message.format(directory=model_directory.path)],
        3: [],
    }


def test_a_provenance_that_differs_from_its_record_blocks_pushes(
    model_directory: ModelDirectory, tmp_path: Path
) -> None:
    alter(model_directory.version(2).path, "provenance", tmp_path)
    with pytest.raises(StoreError, match=r"2/provenance\.json and .*/\.history/2\.json differ"):
        publish(model_directory, model(tmp_path, "four"))
