"""Artifacts are committed and read back with all their facts."""

from pathlib import Path

import pytest

from pipeline.store import Store
from schemas.artifacts import Artifact, Evaluation, Examples, Features, Model, Statistics, Verdict
from tests.pipeline.store.committed import RECIPE, SPLITS, put


@pytest.mark.parametrize(
    "artifact",
    [
        Examples(Path(), splits=SPLITS, source="mnist:3.0.1"),
        Statistics(Path(), counts={"train": 3, "test": 0}),
        Verdict(Path(), passed=False, reasons=("too few", "too many"), remedy="Fix it.", warnings=("odd",)),
        Features(Path(), splits=SPLITS, shape=(28, 28, 1), classes=10, one_hot=True),
        Model(Path(), epochs=3, validation_accuracy=0.1 + 0.2),
        Evaluation(Path(), passed=True, accuracy=1.0, loss=1e-9, saved_model="abc", baseline=None),
    ],
    ids=lambda artifact: type(artifact).__name__,
)
def test_a_committed_artifact_is_found_with_all_its_facts(store: Store, artifact: Artifact) -> None:
    committed = put(store, artifact, file="content")
    assert committed.path == store.root / "artifacts" / "stage" / "key"
    assert (committed.path / "file").read_text(encoding="utf-8") == "content"
    assert len(committed.digest) == 64
    assert store.find("stage", "key", type(artifact)) == committed
    assert Store(store.root).find("stage", "key", type(artifact)) == committed


def test_splits_keep_their_order(store: Store) -> None:
    examples = put(
        store, Examples(Path(), splits={"train": SPLITS["train"], "test": SPLITS["test"]}, source="mnist:3.0.1")
    )
    assert list(store.find("stage", "key", Examples).splits) == list(examples.splits) == ["train", "test"]


def test_equal_content_has_equal_digests_under_every_key(store: Store) -> None:
    one, same, other = (
        put(store, Statistics(Path(), counts={}), key, file=text) for key, text in (("a", "x"), ("b", "x"), ("c", "y"))
    )
    assert one.digest == same.digest != other.digest


def test_an_uncommitted_artifact_does_not_exist(store: Store) -> None:
    assert store.find("stage", "key", Statistics) is None
    assert list(store.manifests("stage")) == []


def test_manifests_hold_recipe_and_files_and_are_sorted_by_time(store: Store) -> None:
    for key in ("z", "a"):
        put(store, Statistics(Path(), counts={}), key)
    manifests = list(store.manifests("stage"))
    assert sorted(m["made"] for m in manifests) == [m["made"] for m in manifests]
    assert {m["key"] for m in manifests} == {"z", "a"}
    assert manifests[0]["recipe"] == RECIPE
    assert manifests[0]["files"]["file"]["size"] == len("content")


def test_manifests_are_sorted_by_commit_order_and_not_by_the_clock(store: Store) -> None:
    for key, made in (("first", "2030-01-01"), ("second", "2026-01-01"), ("third", "2026-01-01")):
        with store.staging("stage", key) as out:
            store.commit(Statistics(out, counts={}), "stage", key, RECIPE, made)
    assert [m["key"] for m in store.manifests("stage")] == ["first", "second", "third"]
