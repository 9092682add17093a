"""Source `tfrecord`: splits by the names of files, features by name, and what is said of files that are wrong."""

from pathlib import Path

import imagecodecs
import pytest
import tensorflow as tf

from components.ingest import ingest
from components.resolvers.source_data import source_data
from components.sources import open_source
from components.sources.reading import place_of
from schemas.errors import DataError
from schemas.settings.source import Tfrecord
from tests.components import pictures
from tests.components.image_files import tfrecord_files
from tests.conftest import UNPREPARED

COUNT = 120


@pytest.fixture(scope="module")
def rows() -> list[tuple[bytes, str | int]]:
    images, labels = pictures.pictures(COUNT, seed=7)
    return [(imagecodecs.png_encode(image), int(label)) for image, label in zip(images, labels, strict=True)]


def ingested(source: Tfrecord, run, labels=None):
    return ingest.function(UNPREPARED, source=source, place=place_of(source), encoding=None, labels=labels, run=run)


def test_files_named_after_splits_are_those_splits(rows, tmp_path, lend):
    for split, part in (("train", rows[:80]), ("val", rows[80:95]), ("test", rows[95:])):
        tfrecord_files(tmp_path, part, 2, split + "-{}-of-2")
    made = ingested(Tfrecord(tfrecord=str(tmp_path / "*.tfrecord")), lend())
    assert {split: each.count for split, each in made.splits.items()} == {"train": 80, "validation": 15, "test": 25}
    assert set(pictures.columns(made, "test")["image"]) == {content for content, _ in rows[95:]}


def test_labels_may_be_names_in_the_order_of_the_contract(rows, tmp_path, lend):
    named = [(content, pictures.NAMES[label]) for content, label in rows]
    source = Tfrecord(tfrecord=tfrecord_files(tmp_path, named, 2))
    assert open_source(source, place_of(source)).labels() == tuple(sorted(pictures.NAMES))
    made = ingested(source, lend(), labels=pictures.NAMES)
    label = dict(rows)
    columns = pictures.columns(made, "train")
    assert [label[image] for image in columns["image"]] == columns["label"].tolist()
    with pytest.raises(DataError, match="is not a label: the contract has red, green"):
        ingested(source, lend(), labels=["red", "green"])


def test_an_image_that_cannot_be_read_is_set_aside_by_its_number(rows, tmp_path, lend):
    source = Tfrecord(tfrecord=tfrecord_files(tmp_path, [*rows[:-1], (b"\x89PNG", 0)], 1))
    [(name, reason)] = ingested(source, lend()).set_aside()
    assert (name, reason) == (
        "record 119 of part-0.tfrecord",
        "record 119 of part-0.tfrecord cannot be decoded as an image",
    )


def no_files(folder: Path) -> None:
    for path in folder.glob("*.tfrecord"):
        path.unlink()


def cut_short(folder: Path) -> None:
    path = folder / "part-1.tfrecord"
    path.write_bytes(path.read_bytes()[:-5])


def of_other_content(folder: Path) -> None:
    with tf.io.TFRecordWriter(str(folder / "part-0.tfrecord")) as writer:
        writer.write(b"hello")


def empty(folder: Path) -> None:
    tf.io.TFRecordWriter(str(folder / "part-0.tfrecord")).close()


def in_part_named_after_a_split(folder: Path) -> None:
    (folder / "part-0.tfrecord").rename(folder / "test-0.tfrecord")


def only_test(folder: Path) -> None:
    for path in folder.glob("*.tfrecord"):
        path.rename(path.with_name(f"test-{path.name}"))


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (no_files, r"source.tfrecord .*\*.tfrecord matches no file"),
        (cut_short, r"part-1.tfrecord is cut short or altered: a record of \d+ bytes does not fit into it"),
        (of_other_content, r"a record of .*part-0.tfrecord is no tf.Example"),
        (empty, r"part-0.tfrecord holds no records"),
        (in_part_named_after_a_split, r"part-1.tfrecord is of no split, and other files of .* are"),
        (only_test, r"matches no file whose name begins with train"),
    ],
)
def test_files_that_are_wrong_are_refused(harm, cause, rows, tmp_path, lend):
    pattern = tfrecord_files(tmp_path, rows, 2)
    harm(tmp_path)
    with pytest.raises(DataError, match=cause):
        ingested(Tfrecord(tfrecord=pattern), lend())


@pytest.mark.parametrize(
    ("setting", "cause", "remedy"),
    [
        ("image", "records of {} have no feature img of bytes", "They have image, label; name it in source.image."),
        ("label", "record 0 of {} has no feature img", "It has image, label; name it in source.label."),
    ],
)
def test_features_are_named(setting, cause, remedy, rows, tmp_path, lend):
    source = Tfrecord.model_validate({"tfrecord": tfrecord_files(tmp_path, rows, 1), setting: "img"})
    with pytest.raises(DataError) as error:
        ingested(source, lend())
    assert error.value.cause == cause.format(tmp_path / "part-0.tfrecord")
    assert error.value.remedy == remedy


def test_a_change_of_a_file_is_seen_and_other_files_are_not(rows, tmp_path):
    source = Tfrecord(tfrecord=tfrecord_files(tmp_path, rows, 2))
    state = lambda: source_data.function(source=source, place=place_of(source)).contents  # noqa: E731
    before = state()
    (tmp_path / "notes.txt").write_text("not read", encoding="utf-8")
    assert state() == before
    tfrecord_files(tmp_path, rows[1:], 2)
    assert state() != before
