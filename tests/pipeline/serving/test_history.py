"""The history of a model directory: records of versions, also of removed ones."""

import json
from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory
from schemas import files
from schemas.errors import StoreError
from tests.pipeline.shelves import model, publish


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
