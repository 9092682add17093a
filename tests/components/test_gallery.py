"""The gallery compared with the same selection in plain Python, and edge cases."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components._evaluation.gallery import write
from schemas import example, shard_reader
from schemas.artifacts import Examples
from schemas.errors import GatelineError
from schemas.model_input import ModelInput
from tests.components import pictures

CLASSES, SHAPE = 5, (3, 4, 2)


def predictions(count: int, seed: int, correct: float = 0.5) -> np.ndarray:
    """float32 [count, CLASSES], with ties. A share `correct` of the rows has class i % CLASSES as the likely one."""
    random = np.random.default_rng(seed)
    p = random.integers(1, 9, (count, CLASSES))
    rows = np.flatnonzero(random.random(count) < correct)
    p[rows, rows % CLASSES] += 12
    return (p / p.sum(1, keepdims=True)).astype(np.float32)


class Split:
    """A test split of `count` images, label i % CLASSES, in shuffled order of index, with predictions of models."""

    def __init__(self, folder: Path, count: int, shards: int = 1, **predictions: np.ndarray) -> None:
        self.out, self.predictions = folder / "out", predictions
        self.images, self.labels = pictures.pictures(count, seed=1, shape=SHAPE, classes=CLASSES)
        self.index = np.random.default_rng(2).permutation(3 * count)[:count]
        encode = example.encoder("own", "1.0.0", "test")
        records = [encode(*row) for row in zip(self.images, self.labels.tolist(), self.index.tolist(), strict=True)]
        (folder / "examples").mkdir(parents=True)
        self.out.mkdir()
        self.examples = Examples(
            folder / "examples",
            splits={"test": pictures.write(folder / "examples", "test", records, shards)},
            source="own:1.0.0",
        )
        self.predict()

    def predict(self) -> None:
        """Writes predictions as the stage evaluate does."""
        (self.out / "predictions").mkdir(exist_ok=True)
        columns = {"index": pa.array(self.index), "label": pa.array(self.labels)}
        for name, p in self.predictions.items():
            columns[name] = pa.FixedSizeListArray.from_arrays(p.reshape(-1), p.shape[1])
        table, first = pa.table(columns), 0
        for _, path, count in self.examples.shards("test"):
            pq.write_table(
                table.slice(first, count), self.out / "predictions" / f"{path.stem}.parquet", row_group_size=700
            )
            first += count

    def gallery(self, leaked: frozenset[int] = frozenset()) -> tuple[dict[str, list[dict[str, Any]]], np.ndarray]:
        write(
            self.examples,
            self.out / "predictions",
            self.out,
            ModelInput(SHAPE, SHAPE),
            self.predictions["probabilities"].shape[1],
            leaked,
        )
        entries = json.loads((self.out / "gallery.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
        return entries, np.load(self.out / "gallery.npy")

    def rows(self, entries: list[dict[str, Any]]) -> list[int]:
        row_of_index = {index: row for row, index in enumerate(self.index.tolist())}
        return [row_of_index[entry["index"]] for entry in entries]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("count", [1, 40, 2300])
def test_the_gallery_equals_a_selection_in_plain_python(tmp_path, count, shards):
    candidate, baseline = predictions(count, 3), predictions(count, 4)
    split = Split(tmp_path, count, shards, probabilities=candidate, probabilities_baseline=baseline)
    entries, images = split.gallery()
    predicted, baseline_predicted, labels = (
        candidate.argmax(1).tolist(),
        baseline.argmax(1).tolist(),
        split.labels.tolist(),
    )
    by_confidence = sorted(range(count), key=lambda i: (-candidate[i].max(), split.index[i]))
    by_index = sorted(range(count), key=lambda i: split.index[i])
    assert split.rows(entries["mistakes"]) == [i for i in by_confidence if predicted[i] != labels[i]][:32]
    assert (
        split.rows(entries["lost"])
        == [i for i in by_confidence if predicted[i] != labels[i] == baseline_predicted[i]][:32]
    )
    assert (
        split.rows(entries["gained"])
        == [i for i in by_confidence if predicted[i] == labels[i] != baseline_predicted[i]][:32]
    )
    assert split.rows(entries["samples"]) == [
        i for k in range(CLASSES) for i in [j for j in by_index if labels[j] == k][:8]
    ]
    for entry in (entry for name in entries for entry in entries[name]):
        [row] = split.rows([entry])
        np.testing.assert_array_equal(images[entry["image"]], split.images[row])
        top = sorted(range(CLASSES), key=lambda k: (-candidate[row][k], k))[:3]
        assert entry["top"] == [[k, pytest.approx(candidate[row][k], abs=1e-6)] for k in top]
        assert (entry["label"], entry["predicted"], entry["baseline"]) == (
            labels[row],
            predicted[row],
            baseline_predicted[row],
        )
    assert images.dtype == np.uint8
    assert len(images) == len({entry["index"] for name in entries for entry in entries[name]})


@pytest.mark.parametrize("shards", [1, 3])
def test_suspects_follow_confident_learning(tmp_path, shards):
    """Confident learning in plain Python: a label-smoothed model that is less confident in class 4 than in others."""
    candidate = predictions(400, 3, correct=0.8)
    candidate[:, 4] /= 2
    split = Split(tmp_path, 400, shards, probabilities=candidate)
    entries, _ = split.gallery()
    assert candidate.max() < 0.9
    labels, predicted = split.labels.tolist(), candidate.argmax(1).tolist()
    mean = [
        np.mean([float(p[k]) for p, label in zip(candidate, labels, strict=True) if label == k]) for k in range(CLASSES)
    ]
    for entry in entries["mistakes"] + entries["samples"]:
        [row] = split.rows([entry])
        assert entry["suspect"] is (
            predicted[row] != labels[row] and bool(candidate[row].max() >= mean[predicted[row]])
        )
    assert {entry["suspect"] for entry in entries["mistakes"]} == {True, False}


def test_empty_classes_and_nan_predictions_have_no_suspects(tmp_path):
    candidate = np.full((8, CLASSES + 1), 0.01, np.float32)
    candidate[:, CLASSES] = 0.95  # a class without images
    candidate[3] = np.nan
    entries, _ = Split(tmp_path, 8, probabilities=candidate).gallery()
    assert len(entries["mistakes"]) == 8
    assert not any(entry["suspect"] for entry in entries["mistakes"])


def test_leaked_images_are_excluded(tmp_path):
    candidate, baseline = predictions(60, 3), predictions(60, 4)
    split = Split(tmp_path, 60, 2, probabilities=candidate, probabilities_baseline=baseline)
    all_entries, _ = split.gallery()
    leaked = frozenset(all_entries[name][0]["index"] for name in all_entries)
    entries, images = split.gallery(leaked)
    for name in ("mistakes", "lost", "gained"):
        assert entries[name] == [
            e | {"image": n["image"]}
            for e, n in zip(_without_leaked(all_entries[name], leaked), entries[name], strict=True)
        ]
    assert {e["index"] for e in entries["samples"]} >= {
        e["index"] for e in _without_leaked(all_entries["samples"], leaked)
    }
    assert not {e["index"] for name in entries for e in entries[name]} & leaked
    assert len(images) == len({e["index"] for name in entries for e in entries[name]})
    empty, images = split.gallery(frozenset(split.index.tolist()))
    assert (empty, images.shape) == ({"mistakes": [], "lost": [], "gained": [], "samples": []}, (0, *SHAPE))


def _without_leaked(entries: list[dict[str, Any]], leaked: frozenset[int]) -> list[dict[str, Any]]:
    return [entry for entry in entries if entry["index"] not in leaked]


def test_without_a_baseline_lost_and_gained_are_empty(tmp_path):
    entries, _ = Split(tmp_path, 50, probabilities=predictions(50, 3)).gallery()
    assert entries["lost"] == entries["gained"] == []
    assert {entry["baseline"] for entry in entries["mistakes"] + entries["samples"]} == {None}


def test_nan_predictions_are_mistakes_and_sorted_last(tmp_path):
    candidate, baseline = predictions(20, 3, correct=1), predictions(20, 4, correct=1)
    candidate[7] = np.nan
    candidate[5, 0] = np.nan  # the label's own probability, so that the prediction is wrong
    baseline[9] = np.nan
    candidate[3] = (0.1, 0.1, 0.1, 0.1, 0.6)
    split = Split(tmp_path, 20, 2, probabilities=candidate, probabilities_baseline=baseline)
    entries, _ = split.gallery()
    assert split.rows(entries["mistakes"]) == [3, *sorted((5, 7), key=split.index.__getitem__)]
    assert split.rows(entries["lost"]) == split.rows(entries["mistakes"])
    assert split.rows(entries["gained"]) == [9]
    tops = dict(zip(split.rows(entries["mistakes"]), (entry["top"] for entry in entries["mistakes"]), strict=True))
    assert tops[7] == [[0, None], [1, None], [2, None]]
    assert None not in [p for _, p in tops[5]]  # numbers are sorted before NaN


def test_a_prediction_with_infinite_probabilities_is_a_mistake(tmp_path):
    candidate = predictions(5, 3, correct=1)
    candidate[2, 4] = np.inf
    candidate[3, 0] = -np.inf
    split = Split(tmp_path, 5, probabilities=candidate)
    entries, _ = split.gallery()
    assert sorted(split.rows(entries["mistakes"])) == [2, 3]


def test_an_image_of_the_wrong_size_is_excluded(tmp_path):
    split = Split(tmp_path, 30, probabilities=predictions(30, 3, correct=0))
    all_entries, _ = split.gallery()
    [(_, path, count)] = split.examples.shards("test")
    [records] = shard_reader.read(path, count)
    for row, change in enumerate((b"short", b"", None)):
        message = pictures.tf.train.Example.FromString(records[row])
        if change is None:
            del message.features.feature["image"]
        else:
            message.features.feature["image"].bytes_list.value[:] = [change]
        records[row] = message.SerializeToString(deterministic=True)
    pictures.write(split.examples.path, "test", records)
    entries, images = split.gallery()
    for name in ("mistakes", "samples"):
        assert split.rows(entries[name]) == [row for row in split.rows(all_entries[name]) if row > 2]
    assert images.shape[1:] == SHAPE


def test_a_model_without_mistakes_has_only_samples(tmp_path):
    split = Split(tmp_path, 7, probabilities=np.eye(CLASSES, dtype=np.float32)[np.arange(7) % CLASSES])
    entries, images = split.gallery()
    assert [len(entries[name]) for name in ("mistakes", "lost", "gained", "samples")] == [0, 0, 0, 7]
    assert images.shape == (7, *SHAPE)


def test_an_empty_split_has_an_empty_gallery(tmp_path):
    entries, images = Split(tmp_path, 0, probabilities=predictions(0, 3)).gallery()
    assert entries == {"mistakes": [], "lost": [], "gained": [], "samples": []}
    assert images.shape == (0, *SHAPE)


def test_with_two_classes_both_are_listed(tmp_path):
    split = Split(tmp_path, 4, probabilities=np.full((4, 2), 0.5, np.float32))
    entries, _ = split.gallery()
    assert entries["samples"][0]["top"] == [[0, 0.5], [1, 0.5]]


def test_identical_images_are_stored_once(tmp_path):
    split = Split(tmp_path / "a", 10, probabilities=predictions(10, 3, correct=0))
    _, images = split.gallery()
    assert len(images) == 10
    same = pictures.examples(tmp_path / "b", test=(split.images[[0] * 10], split.labels))
    split.examples, split.index = same, np.arange(10)
    split.predict()
    entries, images = split.gallery()
    assert len(images) == 1
    assert len(entries["samples"]) == 10


def test_predictions_of_different_rows_are_refused(tmp_path):
    split = Split(tmp_path, 10, probabilities=predictions(10, 3))
    split.index = split.index[::-1].copy()
    split.predict()
    with pytest.raises(
        GatelineError, match=r"test-00000-of-00001\.parquet is not about the rows of .*test-00000-of-00001\.tfrecord"
    ):
        split.gallery()
