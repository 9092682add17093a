"""Taking a version back: at once, as a new version, and for good until somebody says otherwise."""

from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory
from schemas import files
from schemas.errors import ConfigurationError, DataError, Refused, StoreError
from tests.pipeline.shelves import Reader, model, publish, seen


@pytest.fixture
def shelf(tmp_path: Path) -> ModelDirectory:
    """Models one, two and three, as versions 1 to 3."""
    found = ModelDirectory(tmp_path / "serving", "mnist")
    for name in ("one", "two", "three"):
        publish(found, model(tmp_path, name))
    return found


def held(shelf: ModelDirectory) -> list[tuple[int, str]]:
    return [(version.number, version.digest) for version in shelf.versions()]


def test_the_model_before_appears_as_a_new_version_that_says_why(shelf: ModelDirectory) -> None:
    back = shelf.rollback(reason="slow")
    assert back == shelf.latest()
    assert held(shelf) == [(1, "one"), (2, "two"), (3, "three"), (4, "two")]
    said = back.rollback
    assert said is not None
    assert (said["of"], said["to"], said["reason"]) == (3, 2, "slow")
    assert (back.provenance["version"], back.origin, back.provenance["run"]) == (4, 2, 7)
    before = shelf.version(2).path
    assert {k: v for k, v in seen(back.path).items() if k != "provenance.json"} == {
        k: v for k, v in seen(before).items() if k != "provenance.json"
    }
    assert shelf.differences(back) == []


def test_again_goes_further_back_until_nothing_is_left(shelf: ModelDirectory) -> None:
    assert [shelf.rollback().digest for _ in range(2)] == ["two", "one"]
    with pytest.raises(Refused) as error:
        shelf.rollback()
    assert error.value.cause == "mnist has no earlier version with another model than version 5"
    assert held(shelf)[-1] == (5, "one")


def test_what_was_rolled_back_is_not_pushed_again(shelf: ModelDirectory, tmp_path: Path) -> None:
    shelf.rollback()
    before = seen(shelf.root)
    with pytest.raises(Refused) as error:
        publish(shelf, model(tmp_path, "three"))
    assert str(error.value) == (
        "refused: version 3, which is this model, was rolled back\n"
        "  Train a new model, or restore it: "
        f"python -m pipeline serving rollback --to 3 --serving-dir {shelf.root} --model mnist"
    )
    assert seen(shelf.root) == before
    files.remove(shelf.version(3).path)
    with pytest.raises(Refused) as error:
        publish(shelf, model(tmp_path, "three"))
    assert error.value.remedy == "Train a new model."


def test_another_model_is_pushed_and_the_rolled_back_one_stays_refused(shelf: ModelDirectory, tmp_path: Path) -> None:
    shelf.rollback()
    assert publish(shelf, model(tmp_path, "four")).number == 5
    with pytest.raises(Refused, match="version 3, which is this model, was rolled back"):
        publish(shelf, model(tmp_path, "three"))


def test_a_version_that_was_rolled_back_can_be_brought_back_and_nobody_is_the_worse(
    shelf: ModelDirectory, tmp_path: Path
) -> None:
    shelf.rollback()
    assert shelf.withdrawn() == {"three": 3}
    assert shelf.rollback(to=3).digest == "three"
    assert shelf.withdrawn() == {}
    assert shelf.rollback().digest == "two"


def test_a_rolled_back_model_is_no_longer_the_best_ever_served(shelf: ModelDirectory, tmp_path: Path) -> None:
    publish(shelf, model(tmp_path, "lucky"), accuracy=0.99)
    assert shelf.best("t") == (shelf.history()[-1], shelf.latest())
    shelf.rollback()
    found = shelf.best("t")
    assert found
    assert (found[0].accuracy, found[0].model, found[1]) == (0.9, "three", shelf.latest())


@pytest.mark.parametrize(
    ("to", "cause"),
    [
        (3, "version 3, which is served, holds the model of version 3"),
        (9, "there is no version 9 of mnist in {root}"),
    ],
)
def test_a_version_that_cannot_be_gone_back_to_is_refused(shelf: ModelDirectory, to: int, cause: str) -> None:
    before = seen(shelf.root)
    with pytest.raises(ConfigurationError) as error:
        shelf.rollback(to=to)
    assert error.value.cause == cause.format(root=shelf.root)
    assert seen(shelf.root) == before


def test_nothing_was_pushed_so_nothing_can_be_taken_back(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no version of mnist is served"):
        ModelDirectory(tmp_path / "serving", "mnist").rollback()


def test_an_older_version_that_was_altered_is_not_served_again(shelf: ModelDirectory) -> None:
    (shelf.version(2).path / "saved_model.pb").write_text("graph of twu", encoding="utf-8")
    with pytest.raises(DataError) as error:
        shelf.rollback()
    altered = "saved_model.pb was altered: its SHA-256 differs from the manifest's"
    assert error.value.cause == f"{shelf.path / '2'} was altered since it was pushed: {altered}"
    assert shelf.rollback(to=1).digest == "one"


def test_a_served_version_that_was_altered_can_be_taken_back(shelf: ModelDirectory) -> None:
    (shelf.version(3).path / "saved_model.pb").write_text("broken", encoding="utf-8")
    assert shelf.rollback(reason="a flipped bit").digest == "two"


def test_the_number_is_never_given_out_again(shelf: ModelDirectory, tmp_path: Path) -> None:
    files.remove(shelf.rollback().path)
    assert publish(shelf, model(tmp_path, "four")).number == 5


def test_a_reader_sees_no_gap_and_nothing_half_done(shelf: ModelDirectory, tmp_path: Path) -> None:
    with Reader(shelf) as reader:
        for i in range(10):
            publish(shelf, model(tmp_path, f"new {i}"), accuracy=0.5)
            shelf.rollback()
            shelf.apply_retention(2)
    assert (reader.wrong, reader.gaps) == ([], 0)
    assert reader.looks > 10
    assert max(reader.found) == 23
    assert {"three"} <= {version.digest for version in shelf.versions()}


def planted(version: Path, what: str, tmp_path: Path) -> None:
    graph = version / "saved_model.pb"
    if what == "missing":
        graph.unlink()
    elif what == "longer":
        graph.write_text("a longer graph", encoding="utf-8")
    elif what == "flipped":
        graph.write_bytes(bytes([graph.read_bytes()[0] ^ 1]) + graph.read_bytes()[1:])
    elif what == "added":
        (version / "variables" / "more").write_text("more", encoding="utf-8")
    elif what == "manifest":
        (version / "manifest.json").write_text("{}", encoding="utf-8")
    elif what == "link":
        (tmp_path / "same").write_bytes(graph.read_bytes())
        graph.unlink()
        graph.symlink_to(tmp_path / "same")
    else:
        path = version / "provenance.json"
        path.write_text(path.read_text(encoding="utf-8").replace('"run": 7', '"run": 8'), encoding="utf-8")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "saved_model.pb is missing"),
        ("longer", "saved_model.pb has 14 bytes, its manifest states 12"),
        ("flipped", "saved_model.pb was altered: its SHA-256 differs from the manifest's"),
        ("added", "variables/more was added"),
        ("manifest", "manifest.json was added"),
        ("link", "saved_model.pb is a symbolic link, or is behind one"),
        ("provenance", "provenance.json was altered: {shelf}/.history/2.json differs"),
    ],
)
def test_verify_names_each_planted_change(shelf: ModelDirectory, tmp_path: Path, what: str, words: str) -> None:
    planted(shelf.version(2).path, what, tmp_path)
    assert {v.number: shelf.differences(v) for v in shelf.versions()} == {
        1: [],
        2: [words.format(shelf=shelf.path)],
        3: [],
    }


def test_a_provenance_that_differs_from_its_record_stops_every_push(shelf: ModelDirectory, tmp_path: Path) -> None:
    planted(shelf.version(2).path, "provenance", tmp_path)
    with pytest.raises(StoreError, match=r"2/provenance\.json and .*/\.history/2\.json differ"):
        publish(shelf, model(tmp_path, "four"))
