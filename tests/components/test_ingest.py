"""ingest: a TFDS dataset becomes sharded TFRecords of raw images."""

import hashlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from components.ingest import ingest
from components.sources.reading import Place
from schemas.errors import ConfigurationError, DataError, EnvironmentFailure
from schemas.settings.source import Tfds
from tests.components import pictures
from tests.conftest import FEW, SAMPLE, UNPREPARED

PNG = Tfds(tfds="pictures/png", module="tests.components.pictures", validation=0.3)


def ingested(source, data_dir, run, manual_dir=None):
    return ingest.function(UNPREPARED, source=source, place=Place(data_dir, manual_dir), run=run)


def from_tfds(name, split, data_dir):
    """(images, labels) as TFDS's own reader decodes them."""
    found = tfds.builder(name, data_dir=data_dir).as_dataset(split=split, as_supervised=True, shuffle_files=False)
    images, labels = zip(*found.as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels)


def by_index(examples, *splits):
    """(images, labels) in the source's order, out of one or several splits."""
    found = [(pictures.images(examples, split), pictures.columns(examples, split)) for split in splits]
    index = np.concatenate([columns["source/index"] for _, columns in found])
    order = np.argsort(index)
    assert index[order].tolist() == list(range(len(index)))
    images = np.concatenate([images for images, _ in found])
    return images[order], np.concatenate([columns["label"] for _, columns in found])[order]


@pytest.fixture(scope="module")
def coloured(data_dir, tmp_path_factory):
    from tests.conftest import lent

    return ingested(PNG, data_dir, lent(tmp_path_factory.mktemp("coloured")))


def test_every_image_and_label_is_what_tfds_reads(sample, data_dir):
    for split, of in (("train", ("train", "validation")), ("test", ("test",))):
        images, labels = by_index(sample, *of)
        expected_images, expected_labels = from_tfds("mnist_sample", split, data_dir)
        np.testing.assert_array_equal(images, expected_images)
        np.testing.assert_array_equal(labels, expected_labels)


def test_records_say_their_size_and_where_they_came_from(sample):
    for split, of in (("train", b"train"), ("validation", b"train"), ("test", b"test")):
        columns = pictures.columns(sample, split)
        for name, value in {
            "image/height": 28,
            "image/width": 28,
            "image/channels": 1,
            "source/dataset": b"mnist_sample",
            "source/version": b"1.0.0",
            "source/split": of,
        }.items():
            assert set(columns[name].tolist()) == {value}, name
    assert sample.source == "mnist_sample:1.0.0"


def test_a_slice_of_the_source_is_named_as_it_was_asked_for(few, data_dir):
    assert set(pictures.columns(few, "train")["source/split"].tolist()) == {b"train[:1000]"}
    images, _ = by_index(few, "train", "validation")
    np.testing.assert_array_equal(images, from_tfds("mnist_sample", "train[:1000]", data_dir)[0])


def test_counts_are_those_of_the_records(sample):
    for split, found in sample.splits.items():
        assert found.count == len(pictures.records(sample, split))
    assert list(sample.splits) == ["train", "validation", "test"]
    assert sample.splits["train"].count + sample.splits["validation"].count == 4000
    assert sample.splits["test"].count == 1000


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_data_gives_the_same_bytes_however_many_workers(workers, few, data_dir, lend):
    again = ingested(FEW, data_dir, lend(workers=workers))
    assert pictures.contents(again.path) == pictures.contents(few.path)
    assert again.splits == few.splits


def test_only_shards_are_left(few):
    assert set(pictures.contents(few.path)) == {name for split in few.splits.values() for name in split.shards}


def test_no_image_stands_in_train_and_validation(sample):
    sides = [
        {hashlib.sha256(image).digest() for image in pictures.images(sample, split)}
        for split in ("train", "validation")
    ]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_validation_is_about_the_share_that_was_asked_for(sample, few):
    # Within four standard deviations of a binomial draw.
    for examples, share, total in ((sample, 0.1, 4000), (few, 0.2, 1000)):
        expected, deviation = share * total, (total * share * (1 - share)) ** 0.5
        assert abs(examples.splits["validation"].count - expected) < 4 * deviation


def test_validation_stays_the_same_images_with_other_shard_sizes(few, data_dir, lend):
    other = ingested(FEW.model_copy(update={"shard_size": 300}), data_dir, lend())
    assert other.splits["train"].shards == tuple(f"train-{i:05d}-of-00004.tfrecord" for i in range(4))
    for split in ("train", "validation", "test"):
        assert pictures.records(other, split) == pictures.records(few, split)


def test_an_image_stays_in_validation_when_data_is_added(few, sample):
    before = {image.tobytes() for image in pictures.images(few, "train")}
    after = {image.tobytes() for image in pictures.images(sample, "validation")}
    assert not before & after  # the share of `few` is the larger one: what was train there is train here


def test_colour_images_keep_their_channels(coloured, data_dir):
    images, labels = by_index(coloured, "train", "validation")
    expected_images, expected_labels = from_tfds("pictures/png", "train", data_dir)
    assert images.shape == (90, 8, 10, 3)
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_array_equal(labels, expected_labels)


def test_jpeg_images_are_decoded_as_tfds_decodes_them(data_dir, lend):
    found = ingested(PNG.model_copy(update={"tfds": "pictures/jpeg"}), data_dir, lend())
    images, labels = by_index(found, "test")
    expected_images, expected_labels = from_tfds("pictures/jpeg", "test", data_dir)
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_array_equal(labels, expected_labels)


def test_the_source_is_named_with_its_variant_and_version(coloured):
    assert coloured.source == "pictures:png:1.2.3"


@pytest.mark.parametrize(
    ("changed", "split"),
    [({"test": "test[:0%]"}, "test"), ({"validation": 1e-9}, "validation"), ({"validation": 1 - 1e-9}, "train")],
)
def test_an_empty_split_is_refused(changed, split, coloured, data_dir, lend):
    with pytest.raises(DataError) as refused:
        ingested(PNG.model_copy(update=changed), data_dir, lend())
    assert refused.value.cause == f"split {split} of pictures/png is empty"
    assert refused.value.remedy == "Check source.train, source.test and source.validation."


def test_a_split_that_is_not_there_is_refused_with_those_that_are(coloured, data_dir, lend):
    with pytest.raises(DataError) as refused:
        ingested(PNG.model_copy(update={"test": "holdout"}), data_dir, lend())
    assert refused.value.cause == "pictures/png/1.2.3 has no split holdout"
    assert refused.value.remedy.startswith("It has ")
    assert {"train", "test"} == set(refused.value.remedy.removeprefix("It has ").split(";")[0].split(", "))


def test_a_data_set_that_tfds_does_not_know_is_refused(data_dir, lend):
    with pytest.raises(DataError) as refused:
        ingested(Tfds(tfds="no_such_digits"), data_dir, lend())
    assert refused.value.cause == "TFDS has no dataset no_such_digits"
    assert refused.value.remedy == "Check source.tfds, or name the module that registers it in source.module."


@pytest.mark.parametrize(
    ("variant", "feature", "described"),
    [
        ("float", "image", "Image (8, 10, 1) float32, not an image of uint8"),
        ("uint16", "image", "Image (8, 10, 3) uint16, not an image of uint8"),
        ("tensor", "image", "Tensor (8, 10, 3) uint8, not an image of uint8"),
        ("text", "label", "Text () object, not a single integer label"),
        ("multi", "label", "Sequence (None,) int64, not a single integer label"),
    ],
)
def test_features_that_are_no_image_or_no_label_are_refused(variant, feature, described, data_dir, lend):
    with pytest.raises(DataError) as refused:
        ingested(PNG.model_copy(update={"tfds": f"pictures/{variant}"}), data_dir, lend())
    assert refused.value.cause == f"feature {feature} of pictures/{variant}/1.2.3 is {described}"
    assert refused.value.remedy == f"Name another feature in source.{feature}, or use another dataset."


def test_features_may_have_other_names(coloured, data_dir, lend):
    named = PNG.model_copy(update={"tfds": "pictures/named", "image": "picture", "label": "colour"})
    for expected, got in zip(
        by_index(coloured, "test"), by_index(ingested(named, data_dir, lend()), "test"), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(DataError, match=r"pictures/named/1\.2\.3 has no feature image\n  It has picture, colour, id"):
        ingested(named.model_copy(update={"image": None}), data_dir, lend())


@pytest.mark.parametrize("name", ["mnist_sample:9.9.9", "pictures/gif"])
def test_a_version_or_variant_that_is_not_there_is_refused(name, data_dir, lend):
    source = PNG if name.startswith("pictures") else SAMPLE
    with pytest.raises(DataError, match=name):
        ingested(source.model_copy(update={"tfds": name}), data_dir, lend())


def test_a_module_that_is_not_there_is_refused(data_dir, lend):
    with pytest.raises(DataError, match=r"source\.module"):
        ingested(SAMPLE.model_copy(update={"module": "no_such_module"}), data_dir, lend())


@pytest.mark.parametrize(
    ("train", "test"), [("train+test", "test"), ("train", "train[:500]"), ("train[:60%]", "train[50%:]")]
)
def test_splits_that_share_images_are_refused(train, test, data_dir, lend):
    with pytest.raises(DataError, match=r"share images of mnist_sample"):
        ingested(SAMPLE.model_copy(update={"train": train, "test": test}), data_dir, lend())


def test_parts_of_one_split_that_share_no_images_are_taken(data_dir, lend):
    found = ingested(SAMPLE.model_copy(update={"train": "train[:80%]", "test": "train[80%:]"}), data_dir, lend())
    assert found.splits["test"].count == 800


class Unreachable(tfds.core.GeneratorBasedBuilder):
    """A builder whose download fails as it does without a network."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in ("network", "label", "disk")]  # noqa: RUF012

    def _info(self):
        features = tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(8, 8, 1)), "label": tfds.features.ClassLabel(num_classes=2)}
        )
        return self.dataset_info_from_configs(features=features, supervised_keys=("image", "label"))

    def _split_generators(self, dl_manager):
        if self.builder_config.name == "network":
            raise ConnectionRefusedError(111, "Connection refused")
        if self.builder_config.name == "disk":
            raise OSError(28, "No space left on device")
        return {"train": self._generate_examples(), "test": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"image": np.zeros((8, 8, 1), np.uint8), "label": 7}


@pytest.mark.parametrize(("name", "cause"), [("network", "Connection refused"), ("disk", "No space left on device")])
def test_a_failure_of_network_or_disk_is_not_the_datas(name, cause, tmp_path, lend):
    with pytest.raises(EnvironmentFailure) as failed:
        ingested(Tfds(tfds=f"unreachable/{name}"), str(tmp_path), lend())
    assert cause in failed.value.cause
    assert failed.value.exit_code == 75


def test_a_label_that_the_builder_does_not_know_is_the_datas_fault_and_is_named(tmp_path, lend):
    with pytest.raises(DataError) as refused:
        ingested(Tfds(tfds="unreachable/label"), str(tmp_path), lend())
    assert "7" in refused.value.cause, refused.value.cause
    assert refused.value.remedy.startswith("Check the builder")


def test_a_data_folder_that_may_not_be_written_to_is_the_configurations_fault(tmp_path, lend):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises((ConfigurationError, EnvironmentFailure)) as failed:
        ingested(PNG, str(tmp_path / "file" / "data"), lend())
    assert str(tmp_path) in failed.value.remedy or str(tmp_path) in failed.value.cause
