"""Artifacts: directories with the few facts that other stages need."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.store import facts, from_facts
from schemas import artifacts
from schemas.artifacts import Approval, Artifact, Examples, Gate, Split, Verdict
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
