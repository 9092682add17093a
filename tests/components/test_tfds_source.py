"""Source `tfds`: delivered and drawn splits, and unreadable images."""

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from components.ingest import ingest
from components.sources import tfds_builder
from components.sources.reading import place_of
from schemas.errors import DataError
from schemas.settings.source import Tfds, Unreadable
from tests.components import pictures
from tests.conftest import UNPREPARED


class Delivered(tfds.core.GeneratorBasedBuilder):
    """Images with the splits that the variant names; one of `broken` is no image."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name) for name in ("train", "train_validation_test", "broken")
    ]

    def _info(self):
        label = tfds.features.ClassLabel(names=pictures.NAMES)
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(8, 10, 3)), "label": label})
        return self.dataset_info_from_configs(features=features, supervised_keys=("image", "label"))

    def _split_generators(self, dl_manager):
        names = self.builder_config.name.replace("broken", "train_test").split("_")
        return {name: self._generate_examples(name) for name in names}

    def _generate_examples(self, split):
        images, labels = pictures.pictures(200 if split == "train" else 60, seed=len(split))
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield i, {"image": image, "label": int(label)}


def source(variant, tmp_path, **settings):
    return Tfds(tfds=f"delivered/{variant}", data_dir=str(tmp_path / "data"), **settings)


def ingested(settings, run, encoding=None):
    return ingest.function(UNPREPARED, source=settings, place=place_of(settings), encoding=encoding, run=run)


def counts(examples):
    return {name: split.count for name, split in examples.splits.items()}


def test_a_delivered_validation_split_is_used(tmp_path, new_run):
    examples = ingested(source("train_validation_test", tmp_path, validation="validation"), new_run())
    assert counts(examples) == {"train": 200, "validation": 60, "test": 60}
    assert set(pictures.columns(examples, "validation")["source/split"].tolist()) == {b"validation"}


def test_a_dataset_without_a_test_split_is_drawn_from_train(tmp_path, new_run):
    with pytest.raises(DataError, match=r"has no split test\n  It has train; .* which may be a share of train"):
        ingested(source("train", tmp_path), new_run())
    drawn = counts(ingested(source("train", tmp_path, test=0.3, validation=0.2), new_run()))
    assert sum(drawn.values()) == 200
    assert drawn["test"] == pytest.approx(60, abs=26)
    assert drawn["validation"] == pytest.approx(28, abs=20)


def test_a_draft_names_the_splits_of_the_dataset(tmp_path):
    drafted = tfds_builder.as_delivered(source("train", tmp_path))
    assert (drafted.test, drafted.validation) == (0.2, 0.1)
    drafted = tfds_builder.as_delivered(source("train_validation_test", tmp_path))
    assert (drafted.test, drafted.validation) == ("test", "validation")


@pytest.mark.parametrize("name", ["train", "test"])
def test_validation_must_be_another_split(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name} and validation are both {name}: name splits that do not overlap"):
        source("train", tmp_path, validation=name)


def damage_an_image(builder, position):
    """Replaces the image of a record of train by another content."""
    path = builder.info.splits["train"].filepaths[0]
    records = list(tf.compat.v1.io.tf_record_iterator(str(path)))
    message = tf.train.Example.FromString(records[position])
    message.features.feature["image"].bytes_list.value[0] = b"\x89PNG"
    records[position] = message.SerializeToString()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


@pytest.mark.parametrize("encoding", ["raw", "encoded"])
def test_an_unreadable_image_is_set_aside_by_its_number(encoding, tmp_path, new_run):
    settings = source("broken", tmp_path, shard_size=70)
    damage_an_image(tfds_builder.prepared(settings, settings.data_dir, None, print), 150)
    title = "image 150 of train of delivered:broken:1.0.0"
    examples = ingested(settings, new_run(), encoding)
    assert examples.set_aside() == [(title, f"{title} cannot be decoded as an image")]
    assert sum(counts(examples).values()) == 259
    refusing = settings.model_copy(update={"unreadable": Unreadable(then="error")})
    with pytest.raises(DataError, match=r"1 image \(0\.4%\) cannot be read; source\.unreadable allows none: image 150"):
        ingested(refusing, new_run(), encoding)


@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_files_of_tfds_formats_give_the_same_records(file_format, tmp_path, new_run):
    """TFDS's other formats need packages that are not installed: riegeli, bagz, or its reader of Parquet."""
    settings = source("train_validation_test", tmp_path)
    tfds.builder(settings.tfds, data_dir=settings.data_dir, file_format=file_format).download_and_prepare()
    tfds_builder.load.cache_clear()
    examples = ingested(settings, new_run())
    images, labels = pictures.pictures(60, seed=len("test"))
    expected = {(image.tobytes(), label) for image, label in zip(images, labels.tolist(), strict=True)}
    columns = pictures.columns(examples, "test")
    assert set(zip(columns["image"].tolist(), columns["label"].tolist(), strict=True)) == expected
    assert len(columns["label"]) == 60
