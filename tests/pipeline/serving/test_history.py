"""The history of a model directory: records of versions, also of removed ones."""

import json
from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory
from schemas import disk
from schemas.errors import StoreError
from tests.pipeline.published import model, publish


def test_the_history_includes_removed_versions(model_directory: ModelDirectory, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        publish(model_directory, model(tmp_path, name))
    disk.remove(model_directory.path / "2")
    records = [(record.version, record.model, record.accuracy, record.test) for record in model_directory.history()]
    assert records == [(1, "one", 0.9, "t"), (2, "two", 0.9, "t"), (3, "three", 0.9, "t")]
    assert [version.number for version in model_directory.versions()] == [1, 3]


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
def test_a_damaged_record_is_refused(model_directory: ModelDirectory, tmp_path: Path, name: str, content: str) -> None:
    publish(model_directory, model(tmp_path, "one"))
    damaged = model_directory.path / ".history" / name
    damaged.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError) as error:
        model_directory.history()
    assert error.value.cause == f"{damaged} is not a record of a served version"


def test_a_version_that_differs_from_its_record_is_refused(model_directory: ModelDirectory, tmp_path: Path) -> None:
    version = publish(model_directory, model(tmp_path, "one"))
    path = version.path / "provenance.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.9", "0.5"), encoding="utf-8")
    with pytest.raises(StoreError) as error:
        model_directory.history()
    assert error.value.cause == f"{path} and {model_directory.path / '.history' / '1.json'} differ"


def test_records_of_an_older_gateline_are_read(model_directory: ModelDirectory, tmp_path: Path) -> None:
    for name in ("one", "two"):
        publish(model_directory, model(tmp_path, name))
    for number, name in ((1, "one"), (2, "two")):
        old = {"version": number, "model": name, "accuracy": 0.9, "test": "t"}
        (model_directory.path / ".history" / f"{number}.json").write_text(json.dumps(old), encoding="utf-8")
    disk.remove(model_directory.path / "1")
    assert [(r.version, r.model, r.identity, r.origin) for r in model_directory.history()] == [
        (1, "one", "one", 1),
        (2, "two", "two", 2),
    ]
