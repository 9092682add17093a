"""Source `idx`: MNIST's files, and the errors of invalid files."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from components.ingest import ingest
from components.sources.reading import place_of
from schemas.errors import DataError
from schemas.settings.source import Idx
from tests.components import pictures
from tests.components.image_files import idx_files
from tests.conftest import UNPREPARED

DIGITS = np.random.default_rng(1).integers(0, 256, (120, 6, 5), np.uint8)
LABELS = np.arange(120) % 4


def ingested(folder: Path, run, **options):
    source = Idx(idx=str(folder))
    return ingest.function(UNPREPARED, source=source, place=place_of(source), run=run, **options)


@pytest.mark.parametrize("encoding", [None, "encoded"])
def test_images_and_labels_are_read(encoding, tmp_path, new_run):
    folder = idx_files(tmp_path / "idx", train=(DIGITS[:80], LABELS[:80]), t10k=(DIGITS[80:], LABELS[80:]))
    examples = ingested(folder, new_run(), encoding=encoding)
    columns = pictures.columns(examples, "test")
    assert columns["label"].tolist() == LABELS[80:].tolist()
    assert columns["source/index"].tolist() == list(range(40))
    if encoding is None:
        assert [np.frombuffer(image, np.uint8).tolist() for image in columns["image"]] == [
            digit.reshape(-1).tolist() for digit in DIGITS[80:]
        ]
    else:
        assert set(columns["image/format"]) == {b"png"}
    assert examples.splits["train"].count + examples.splits["validation"].count == 80


def test_a_delivered_validation_split_is_used(tmp_path, new_run):
    parts = {"train": slice(0, 60), "validation": slice(60, 80), "test": slice(80, 120)}
    folder = idx_files(tmp_path / "idx", **{name: (DIGITS[part], LABELS[part]) for name, part in parts.items()})
    examples = ingested(folder, new_run())
    assert {split: split_.count for split, split_ in examples.splits.items()} == {
        "train": 60,
        "validation": 20,
        "test": 40,
    }


def cut_short(folder: Path) -> None:
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))


def damaged(folder: Path) -> None:
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])


def without_labels(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()


def without_test(folder: Path) -> None:
    for path in folder.glob("t10k*"):
        path.unlink()


def with_float_type(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x0d" + gzip.decompress(path.read_bytes())[3:]))


def fewer_images(folder: Path) -> None:
    idx_files(folder, t10k=(DIGITS[:10], LABELS[80:]))


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (
            cut_short,
            r"t10k-images-idx3-ubyte.gz is not a complete IDX file: it holds fewer bytes than its header states",
        ),
        (damaged, r"train-labels-idx1-ubyte.gz is not a complete IDX file: Compressed file ended before"),
        (without_labels, r"t10k-images-idx3-ubyte.gz has no file of labels beside it"),
        (without_test, r"has no images of test in MNIST's format"),
        (
            with_float_type,
            r"train-images-idx3-ubyte.gz is not a complete IDX file: it has no IDX header for unsigned bytes",
        ),
        (fewer_images, r"t10k-images-idx3-ubyte.gz holds 10 images, fewer than there are labels"),
    ],
)
def test_invalid_files_are_refused(damage, cause, tmp_path, new_run):
    folder = idx_files(tmp_path / "idx", train=(DIGITS[:80], LABELS[:80]), t10k=(DIGITS[80:], LABELS[80:]))
    damage(folder)
    with pytest.raises(DataError, match=cause):
        ingested(folder, new_run())
