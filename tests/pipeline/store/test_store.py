"""Artifacts are committed and found with all their facts."""

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
def test_what_was_committed_is_found_with_all_its_facts(store: Store, artifact: Artifact) -> None:
    committed = put(store, artifact, file="content")
    assert committed.path == store.root / "artifacts" / "stage" / "key"
    assert (committed.path / "file").read_text(encoding="utf-8") == "content"
    assert len(committed.digest) == 64
    assert store.find("stage", "key", type(artifact)) == committed
    assert Store(store.root).find("stage", "key", type(artifact)) == committed


def test_what_is_found_is_in_the_order_in_which_it_was_made(store: Store) -> None:
    made = put(store, Examples(Path(), splits={"train": SPLITS["train"], "test": SPLITS["test"]}, source="mnist:3.0.1"))
    assert list(store.find("stage", "key", Examples).splits) == list(made.splits) == ["train", "test"]


def test_the_same_content_has_the_same_digest_under_every_key(store: Store) -> None:
    one, same, other = (
        put(store, Statistics(Path(), counts={}), key, file=text) for key, text in (("a", "x"), ("b", "x"), ("c", "y"))
    )
    assert one.digest == same.digest != other.digest


def test_an_artifact_that_was_never_made_does_not_exist(store: Store) -> None:
    assert store.find("stage", "key", Statistics) is None
    assert list(store.manifests("stage")) == []


def test_manifests_say_what_an_artifact_was_made_from_the_newest_last(store: Store) -> None:
    for key in ("z", "a"):
        put(store, Statistics(Path(), counts={}), key)
    found = list(store.manifests("stage"))
    assert sorted(m["made"] for m in found) == [m["made"] for m in found]
    assert {m["key"] for m in found} == {"z", "a"}
    assert found[0]["recipe"] == RECIPE
    assert found[0]["files"]["file"]["size"] == len("content")


def test_order_hangs_on_what_was_made_after_what_not_on_the_clock(store: Store) -> None:
    for key, made in (("first", "2030-01-01"), ("second", "2026-01-01"), ("third", "2026-01-01")):
        with store.staging("stage", key) as out:
            store.commit(Statistics(out, counts={}), "stage", key, RECIPE, made)
    assert [m["key"] for m in store.manifests("stage")] == ["first", "second", "third"]
