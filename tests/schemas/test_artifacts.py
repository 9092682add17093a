"""Artifacts: directories with the few facts that other stages need."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.store import facts, from_facts
from schemas import artifacts
from schemas.artifacts import Admission, Approval, Artifact, Examples, Gate, Model, Search, ServingCheck, Split, Verdict
from schemas.errors import DataError, Refused

SPLITS = {"train": Split(("a", "b", "c"), (3, 0, 4)), "test": Split(("d",), (5,))}
KINDS = [kind for kind in vars(artifacts).values() if isinstance(kind, type) and issubclass(kind, Artifact)]


def test_a_split_counts_the_records_of_its_shards() -> None:
    assert SPLITS["train"].count == 7
    assert Split((), ()).count == 0


def test_shards_without_records_are_not_read() -> None:
    examples = Examples(Path("/here"), splits=SPLITS, source="mnist")
    train = [("train", Path("/here/a"), 3), ("train", Path("/here/c"), 4)]
    assert list(examples.shards("train")) == train
    assert list(examples.shards()) == [*train, ("test", Path("/here/d"), 5)]


def test_a_split_with_a_different_number_of_counts_and_shards_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        list(Examples(Path(), splits={"train": Split(("a", "b"), (3,))}, source="mnist").shards())


def test_refusals_of_data_and_models_have_different_errors() -> None:
    assert (Gate.refusal, Verdict.refusal) == (Refused, DataError)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_artifact_is_documented_and_frozen(kind: type[Artifact]) -> None:
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")  # the default docstring of a dataclass
    assert kind.__dataclass_params__.frozen
    assert "path" in {field.name for field in dataclasses.fields(kind)}


def test_the_directory_of_an_approval_keeps_its_stored_key(tmp_path: Path) -> None:
    """Lineages and provenance of version 0.1 have it."""
    approval = Approval(
        tmp_path, passed=True, model="m", evaluation="e", evaluated="2026", baseline=None, directory="/srv/mnist"
    )
    stored = facts(approval)
    assert stored["shelf"] == "/srv/mnist"
    assert "directory" not in stored
    assert from_facts(Approval, tmp_path, stored) == approval


def test_artifacts_read_what_they_wrote(tmp_path: Path) -> None:
    rows = [{"span": "span-0001", "errors": []}]
    Admission.write_rows(tmp_path, rows)
    assert Admission(tmp_path, passed=True, admitted=(), quarantined={}, drifted={}).rows() == rows
    ServingCheck.write_measurements(tmp_path, {"load_seconds": 0.5})
    assert ServingCheck(tmp_path, passed=True).measurements() == {"load_seconds": 0.5}
    Search.write_rows(tmp_path, [{"trial": "0", "score": None}, {"trial": "1", "score": 0.9}])
    assert [row["trial"] for row in Search(tmp_path, trials=2, best="1", accuracy=0.9).rows()] == ["1", "0"]
    Model.write_history(tmp_path, [{"loss": 0.1}])
    assert Model(tmp_path, epochs=1, validation_accuracy=0.9).history() == [{"loss": 0.1}]
    assert {path.name for path in tmp_path.iterdir()} == {"spans.json", "serving.json", "trials.json", "history.json"}
