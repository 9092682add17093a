"""Source `tfrecord`: splits by file names, features by name, and the errors of invalid files."""

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


def test_file_names_define_the_splits(rows, tmp_path, new_run):
    for split, part in (("train", rows[:80]), ("val", rows[80:95]), ("test", rows[95:])):
        tfrecord_files(tmp_path, part, 2, split + "-{}-of-2")
    examples = ingested(Tfrecord(tfrecord=str(tmp_path / "*.tfrecord")), new_run())
    assert {split: split_.count for split, split_ in examples.splits.items()} == {
        "train": 80,
        "validation": 15,
        "test": 25,
    }
    assert set(pictures.columns(examples, "test")["image"]) == {content for content, _ in rows[95:]}


def test_labels_can_be_names_in_the_order_of_the_contract(rows, tmp_path, new_run):
    named = [(content, pictures.NAMES[label]) for content, label in rows]
    source = Tfrecord(tfrecord=tfrecord_files(tmp_path, named, 2))
    assert open_source(source, place_of(source)).labels() == tuple(sorted(pictures.NAMES))
    examples = ingested(source, new_run(), labels=pictures.NAMES)
    label = dict(rows)
    columns = pictures.columns(examples, "train")
    assert [label[image] for image in columns["image"]] == columns["label"].tolist()
    with pytest.raises(DataError, match="is not a label: the contract has red, green"):
        ingested(source, new_run(), labels=["red", "green"])


def test_an_unreadable_image_is_set_aside_by_record_number(rows, tmp_path, new_run):
    source = Tfrecord(tfrecord=tfrecord_files(tmp_path, [*rows[:-1], (b"\x89PNG", 0)], 1))
    [(name, reason)] = ingested(source, new_run()).set_aside()
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


def with_other_content(folder: Path) -> None:
    with tf.io.TFRecordWriter(str(folder / "part-0.tfrecord")) as writer:
        writer.write(b"hello")


def empty(folder: Path) -> None:
    tf.io.TFRecordWriter(str(folder / "part-0.tfrecord")).close()


def with_one_split_name(folder: Path) -> None:
    (folder / "part-0.tfrecord").rename(folder / "test-0.tfrecord")


def only_test(folder: Path) -> None:
    for path in folder.glob("*.tfrecord"):
        path.rename(path.with_name(f"test-{path.name}"))


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (no_files, r"source.tfrecord .*\*.tfrecord matches no file"),
        (cut_short, r"part-1.tfrecord is cut short or altered: a record of \d+ bytes does not fit into it"),
        (with_other_content, r"a record of .*part-0.tfrecord is no tf.Example"),
        (empty, r"part-0.tfrecord holds no records"),
        (with_one_split_name, r"part-1.tfrecord is of no split, and other files of .* are"),
        (only_test, r"matches no file whose name begins with train"),
    ],
)
def test_invalid_tfrecord_files_are_refused(damage, cause, rows, tmp_path, new_run):
    pattern = tfrecord_files(tmp_path, rows, 2)
    damage(tmp_path)
    with pytest.raises(DataError, match=cause):
        ingested(Tfrecord(tfrecord=pattern), new_run())


@pytest.mark.parametrize(
    ("setting", "cause", "remedy"),
    [
        ("image", "records of {} have no feature img of bytes", "They have image, label; name it in source.image."),
        ("label", "record 0 of {} has no feature img", "It has image, label; name it in source.label."),
    ],
)
def test_an_unknown_feature_name_is_refused(setting, cause, remedy, rows, tmp_path, new_run):
    source = Tfrecord.model_validate({"tfrecord": tfrecord_files(tmp_path, rows, 1), setting: "img"})
    with pytest.raises(DataError) as error:
        ingested(source, new_run())
    assert error.value.cause == cause.format(tmp_path / "part-0.tfrecord")
    assert error.value.remedy == remedy


def test_a_record_with_several_labels_is_refused(rows, tmp_path, new_run):
    pattern = tfrecord_files(tmp_path, rows, 1)
    path = tmp_path / "part-0.tfrecord"
    records = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    records[3].features.feature["label"].int64_list.value[:] = [1, 2]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.SerializeToString())
    with pytest.raises(DataError) as error:
        ingested(Tfrecord(tfrecord=pattern), new_run())
    assert error.value.cause.startswith(f"record 3 of {path} has 2 labels in feature label")
    assert error.value.remedy == ("An image has one label: name another feature in source.label, or split the records.")


def test_only_the_matching_files_are_keyed(rows, tmp_path):
    source = Tfrecord(tfrecord=tfrecord_files(tmp_path, rows, 2))
    state = lambda: source_data.function(source=source, place=place_of(source)).contents  # noqa: E731
    before = state()
    (tmp_path / "notes.txt").write_text("not read", encoding="utf-8")
    assert state() == before
    tfrecord_files(tmp_path, rows[1:], 2)
    assert state() != before
