"""Images for the report: the most confident mistakes, differences to the baseline, samples of each class.

write(examples, out / "predictions", out, model_input, classes=10, leaked=frozenset())     # gallery.json, gallery.npy
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from etils import epy

from components._data.decoding import to_arrays
from schemas import shard_reader
from schemas.artifacts import Evaluation, Examples, GalleryEntry
from schemas.errors import GatelineError
from schemas.model_input import ModelInput

with epy.lazy_imports():
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

SHOWN = 32  # of mistakes, of lost and of gained: as many as one person reviews
SAMPLES = 8  # of each class; fewer if there are many classes, to limit the size of the page
MAX_SAMPLES = 800
TOP = 3  # classes of highest probability


@dataclass(frozen=True)
class Rows:
    """Test images with their predictions, a row each. Rows of several batches can be joined."""

    index: "np.ndarray"  # int64 [n]
    file: "np.ndarray"  # object [n], bytes; empty where images have no file
    label: "np.ndarray"  # int64 [n]
    probabilities: "np.ndarray"  # float32 [n, classes]
    baseline: "np.ndarray"  # float32 [n, classes], or [n, 0] where there is no baseline
    image: "np.ndarray"  # object [n], bytes as recorded

    def __getitem__(self, rows: "np.ndarray") -> Self:
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def join(self, other: Self) -> Self:
        return type(self)(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))


def write(
    examples: Examples, predictions: Path, out: Path, model_input: ModelInput, classes: int, leaked: frozenset[int]
) -> None:
    """Writes `gallery.npy`, uint8 [n, height, width, channels], and `gallery.json`, the reasons for showing each image.

    mistakes: wrong predictions, the most confident first. lost and gained: only the baseline, or only the candidate, is
    correct; in the same order. samples: the images of lowest index of each class. `suspect`: the label may be wrong,
    see `thresholds`. Predictions that are not numbers count as wrong, with confidence 0. Images of `leaked` indices,
    and images with missing pixels, are left out. Holds one batch of records at a time, and the images that are shown.

    Raises:
        DataError: a shard is damaged.
        GatelineError: a file of predictions is not about the rows of its shard.
    """
    best: dict[str, Rows] = {}
    shards = [(path, count, predictions / f"{path.stem}.parquet") for _, path, count in examples.shards("test")]
    for path, count, answers in shards:
        for batch in _read(path, count, answers, model_input, classes):
            rows = batch[~np.isin(batch.index, list(leaked))]
            for name, choose in _CHOICES.items():
                both = best[name].join(rows) if name in best else rows
                best[name] = both[choose(both)]
    pixels: dict[bytes, int] = {}  # an image in two lists is stored once
    confidence_thresholds = thresholds([answers for _, _, answers in shards], classes)
    entries = {name: _entries(best[name], pixels, confidence_thresholds) if name in best else [] for name in _CHOICES}
    Evaluation.write_gallery(out, entries, to_arrays(np.array(list(pixels), object), model_input))


def thresholds(predictions: list[Path], classes: int) -> "np.ndarray":
    """Mean confidence in each class over the images labelled with it: float64 [classes], infinite without images.

    A wrong prediction with at least this confidence is a likely label error (confident learning, Northcutt, Jiang and
    Chuang 2021). Unlike one fixed threshold, this suits models that are over- or underconfident of a class.
    """
    total, count = np.zeros(classes), np.zeros(classes, int)
    for path in predictions:
        table = pq.read_table(path, columns=["label", "probabilities"])
        labels, probabilities = table["label"].to_numpy(), _matrix(table, "probabilities", classes)
        counted = np.isfinite(probabilities).all(1) & (labels >= 0) & (labels < classes)
        labels, own = labels[counted], probabilities[counted, labels[counted]]
        total += np.bincount(labels, own, classes)
        count += np.bincount(labels, minlength=classes)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)


def _read(path: Path, count: int, predictions: Path, model_input: ModelInput, classes: int) -> Iterator[Rows]:
    size = None if model_input.raw is None else math.prod(model_input.raw)
    table = pq.read_table(predictions)
    first = 0
    for records in shard_reader.read(path, count):
        columns = shard_reader.parse(records, path)
        answers = table.slice(first, len(records))
        first += len(records)
        if not np.array_equal(answers["index"].to_numpy(), columns["source/index"]):
            raise GatelineError(
                f"{predictions} is not about the rows of {path}", "This is a defect of gateline: please report it."
            )
        candidate, baseline = (_matrix(answers, name, classes) for name in ("probabilities", "probabilities_baseline"))
        rows = Rows(
            columns["source/index"],
            columns["source/file"],
            columns["label"],
            candidate,
            baseline,
            columns["image"],
        )
        yield rows[np.array([len(image) == size or size is None for image in rows.image], bool)]


def _matrix(table: "pa.Table", name: str, classes: int) -> "np.ndarray":
    if name not in table.column_names:
        return np.zeros((len(table), 0), np.float32)
    matrix: np.ndarray = table[name].combine_chunks().flatten().to_numpy().reshape(-1, classes)
    return matrix


def _answers(probabilities: "np.ndarray") -> tuple["np.ndarray", "np.ndarray"]:
    """(predicted int64 [n], confidence [n]): confidence is 0 where a probability is not a number."""
    comparable = np.nan_to_num(probabilities, nan=-1.0)
    return comparable.argmax(1), np.where(np.isfinite(probabilities).all(1), comparable.max(1), 0.0)


def _correct(rows: Rows, probabilities: "np.ndarray") -> "np.ndarray":
    predicted, confidence = _answers(probabilities)
    correct: np.ndarray = (predicted == rows.label) & (confidence > 0)
    return correct


def _only(rows: Rows, correct: "np.ndarray", wrong: "np.ndarray") -> "np.ndarray":
    """Row numbers where the first probabilities are correct and the second are wrong."""
    if not rows.baseline.shape[1]:
        return np.zeros(0, int)
    return _confident(rows, _correct(rows, correct) & ~_correct(rows, wrong))


def _confident(rows: Rows, chosen: "np.ndarray") -> "np.ndarray":
    """Row numbers of the most confident of `chosen`, bool [n]; ties by index."""
    order = np.lexsort((rows.index, -_answers(rows.probabilities)[1]))
    shown: np.ndarray = order[chosen[order]][:SHOWN]
    return shown


def _samples(rows: Rows) -> "np.ndarray":
    """Row numbers of the first images of each class, class by class."""
    order = np.lexsort((rows.index, rows.label))
    labels = rows.label[order]
    place = np.arange(len(order)) - np.searchsorted(labels, labels)  # in its class
    each = max(1, min(SAMPLES, MAX_SAMPLES // rows.probabilities.shape[1]))
    shown: np.ndarray = order[place < each]
    return shown


_CHOICES: "dict[str, Callable[[Rows], np.ndarray]]" = {
    "mistakes": lambda rows: _confident(rows, ~_correct(rows, rows.probabilities)),
    "lost": lambda rows: _only(rows, rows.baseline, rows.probabilities),
    "gained": lambda rows: _only(rows, rows.probabilities, rows.baseline),
    "samples": _samples,
}


def _entries(rows: Rows, pixels: dict[bytes, int], confidence_thresholds: "np.ndarray") -> list[GalleryEntry]:
    """An entry for each row. Adds new images to `pixels`, with their position in the gallery."""
    predicted, confidence = _answers(rows.probabilities)
    suspect = (predicted != rows.label) & (confidence >= confidence_thresholds[predicted])
    baseline = _answers(rows.baseline)[0].tolist() if rows.baseline.shape[1] else [None] * len(rows.index)
    return [
        GalleryEntry(
            image=pixels.setdefault(rows.image[i], len(pixels)),
            index=int(rows.index[i]),
            file=rows.file[i].decode(),
            label=int(rows.label[i]),
            predicted=int(predicted[i]),
            top=_top(rows.probabilities[i]),
            baseline=baseline[i],
            suspect=bool(suspect[i]),
        )
        for i in range(len(rows.index))
    ]


def _top(probabilities: "np.ndarray") -> tuple[tuple[int, float | None], ...]:
    order = np.argsort(-np.nan_to_num(probabilities, nan=-1.0), kind="stable")[:TOP].tolist()
    return tuple((k, round(float(probabilities[k]), 6) if np.isfinite(probabilities[k]) else None) for k in order)
