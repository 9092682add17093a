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
    dataset = tfds.builder(name, data_dir=data_dir).as_dataset(split=split, as_supervised=True, shuffle_files=False)
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels)


def by_index(examples, *splits):
    """(images, labels) of one or several splits, in the order of the source."""
    splits_ = [(pictures.images(examples, split), pictures.columns(examples, split)) for split in splits]
    index = np.concatenate([columns["source/index"] for _, columns in splits_])
    order = np.argsort(index)
    assert index[order].tolist() == list(range(len(index)))
    images = np.concatenate([images for images, _ in splits_])
    return images[order], np.concatenate([columns["label"] for _, columns in splits_])[order]


@pytest.fixture(scope="module")
def colour_examples(data_dir, tmp_path_factory):
    from tests.conftest import folder_run

    return ingested(PNG, data_dir, folder_run(tmp_path_factory.mktemp("coloured")))


def test_images_and_labels_equal_those_of_tfds(sample, data_dir):
    for split, splits_ in (("train", ("train", "validation")), ("test", ("test",))):
        images, labels = by_index(sample, *splits_)
        expected_images, expected_labels = from_tfds("mnist_sample", split, data_dir)
        np.testing.assert_array_equal(images, expected_images)
        np.testing.assert_array_equal(labels, expected_labels)


def test_records_contain_size_and_origin(sample):
    for split, origin in (("train", b"train"), ("validation", b"train"), ("test", b"test")):
        columns = pictures.columns(sample, split)
        for name, value in {
            "image/height": 28,
            "image/width": 28,
            "image/channels": 1,
            "source/dataset": b"mnist_sample",
            "source/version": b"1.0.0",
            "source/split": origin,
        }.items():
            assert set(columns[name].tolist()) == {value}, name
    assert sample.source == "mnist_sample:1.0.0"


def test_a_slice_of_the_source_keeps_its_name(few, data_dir):
    assert set(pictures.columns(few, "train")["source/split"].tolist()) == {b"train[:1000]"}
    images, _ = by_index(few, "train", "validation")
    np.testing.assert_array_equal(images, from_tfds("mnist_sample", "train[:1000]", data_dir)[0])


def test_counts_equal_the_number_of_records(sample):
    for split, split_ in sample.splits.items():
        assert split_.count == len(pictures.records(sample, split))
    assert list(sample.splits) == ["train", "validation", "test"]
    assert sample.splits["train"].count + sample.splits["validation"].count == 4000
    assert sample.splits["test"].count == 1000


@pytest.mark.parametrize("workers", [1, 2])
def test_shards_do_not_depend_on_the_number_of_workers(workers, few, data_dir, new_run):
    repeated = ingested(FEW, data_dir, new_run(workers=workers))
    assert pictures.contents(repeated.path) == pictures.contents(few.path)
    assert repeated.splits == few.splits


def test_only_shards_are_written(few):
    assert set(pictures.contents(few.path)) == {name for split in few.splits.values() for name in split.shards}


def test_train_and_validation_are_disjoint(sample):
    sides = [
        {hashlib.sha256(image).digest() for image in pictures.images(sample, split)}
        for split in ("train", "validation")
    ]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_validation_has_the_configured_share(sample, few):
    # Within four standard deviations of a binomial distribution.
    for examples, share, total in ((sample, 0.1, 4000), (few, 0.2, 1000)):
        expected, deviation = share * total, (total * share * (1 - share)) ** 0.5
        assert abs(examples.splits["validation"].count - expected) < 4 * deviation


def test_the_validation_split_does_not_depend_on_the_shard_size(few, data_dir, new_run):
    other = ingested(FEW.model_copy(update={"shard_size": 300}), data_dir, new_run())
    assert other.splits["train"].shards == tuple(f"train-{i:05d}-of-00004.tfrecord" for i in range(4))
    for split in ("train", "validation", "test"):
        assert pictures.records(other, split) == pictures.records(few, split)


def test_the_validation_split_is_stable_when_data_is_added(few, sample):
    before = {image.tobytes() for image in pictures.images(few, "train")}
    after = {image.tobytes() for image in pictures.images(sample, "validation")}
    assert not before & after  # `few` has the larger share, so its train images are train images of the sample too


def test_colour_images_keep_their_channels(colour_examples, data_dir):
    images, labels = by_index(colour_examples, "train", "validation")
    expected_images, expected_labels = from_tfds("pictures/png", "train", data_dir)
    assert images.shape == (90, 8, 10, 3)
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_array_equal(labels, expected_labels)


def test_jpeg_images_are_decoded_like_tfds(data_dir, new_run):
    examples = ingested(PNG.model_copy(update={"tfds": "pictures/jpeg"}), data_dir, new_run())
    images, labels = by_index(examples, "test")
    expected_images, expected_labels = from_tfds("pictures/jpeg", "test", data_dir)
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_array_equal(labels, expected_labels)


def test_the_source_is_named_with_its_variant_and_version(colour_examples):
    assert colour_examples.source == "pictures:png:1.2.3"


@pytest.mark.parametrize(
    ("changed", "split"),
    [({"test": "test[:0%]"}, "test"), ({"validation": 1e-9}, "validation"), ({"validation": 1 - 1e-9}, "train")],
)
def test_an_empty_split_is_refused(changed, split, colour_examples, data_dir, new_run):
    with pytest.raises(DataError) as refused:
        ingested(PNG.model_copy(update=changed), data_dir, new_run())
    assert refused.value.cause == f"split {split} of pictures/png is empty"
    assert refused.value.remedy == "Check source.train, source.test and source.validation."


def test_an_unknown_split_is_refused_with_the_available_ones(colour_examples, data_dir, new_run):
    with pytest.raises(DataError) as refused:
        ingested(PNG.model_copy(update={"test": "holdout"}), data_dir, new_run())
    assert refused.value.cause == "pictures/png/1.2.3 has no split holdout"
    assert refused.value.remedy.startswith("It has ")
    assert {"train", "test"} == set(refused.value.remedy.removeprefix("It has ").split(";")[0].split(", "))


def test_an_unknown_dataset_is_refused(data_dir, new_run):
    with pytest.raises(DataError) as refused:
        ingested(Tfds(tfds="no_such_digits"), data_dir, new_run())
    assert refused.value.cause == "TFDS has no dataset no_such_digits"
    assert refused.value.remedy == "Check source.tfds, or name the module that registers it in source.module."


@pytest.mark.parametrize(
    ("variant", "feature", "description"),
    [
        ("float", "image", "Image (8, 10, 1) float32, not an image of uint8"),
        ("uint16", "image", "Image (8, 10, 3) uint16, not an image of uint8"),
        ("tensor", "image", "Tensor (8, 10, 3) uint8, not an image of uint8"),
        ("text", "label", "Text () object, not a single integer label"),
        ("multi", "label", "Sequence (None,) int64, not a single integer label"),
    ],
)
def test_features_of_unsupported_types_are_refused(variant, feature, description, data_dir, new_run):
    with pytest.raises(DataError) as refused:
        ingested(PNG.model_copy(update={"tfds": f"pictures/{variant}"}), data_dir, new_run())
    assert refused.value.cause == f"feature {feature} of pictures/{variant}/1.2.3 is {description}"
    assert refused.value.remedy == f"Name another feature in source.{feature}, or use another dataset."


def test_features_can_be_named(colour_examples, data_dir, new_run):
    named = PNG.model_copy(update={"tfds": "pictures/named", "image": "picture", "label": "colour"})
    for expected, actual in zip(
        by_index(colour_examples, "test"), by_index(ingested(named, data_dir, new_run()), "test"), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)
    with pytest.raises(DataError, match=r"pictures/named/1\.2\.3 has no feature image\n  It has picture, colour, id"):
        ingested(named.model_copy(update={"image": None}), data_dir, new_run())


@pytest.mark.parametrize("name", ["mnist_sample:9.9.9", "pictures/gif"])
def test_an_unknown_version_or_variant_is_refused(name, data_dir, new_run):
    source = PNG if name.startswith("pictures") else SAMPLE
    with pytest.raises(DataError, match=name):
        ingested(source.model_copy(update={"tfds": name}), data_dir, new_run())


def test_an_unknown_module_is_refused(data_dir, new_run):
    with pytest.raises(DataError, match=r"source\.module"):
        ingested(SAMPLE.model_copy(update={"module": "no_such_module"}), data_dir, new_run())


@pytest.mark.parametrize(
    ("train", "test"), [("train+test", "test"), ("train", "train[:500]"), ("train[:60%]", "train[50%:]")]
)
def test_splits_that_share_images_are_refused(train, test, data_dir, new_run):
    with pytest.raises(DataError, match=r"share images of mnist_sample"):
        ingested(SAMPLE.model_copy(update={"train": train, "test": test}), data_dir, new_run())


def test_disjoint_parts_of_one_split_are_accepted(data_dir, new_run):
    examples = ingested(SAMPLE.model_copy(update={"train": "train[:80%]", "test": "train[80%:]"}), data_dir, new_run())
    assert examples.splits["test"].count == 800


class Unreachable(tfds.core.GeneratorBasedBuilder):
    """A builder whose download fails as without a network."""

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
def test_a_failure_of_network_or_disk_is_an_environment_error(name, cause, tmp_path, new_run):
    with pytest.raises(EnvironmentFailure) as failed:
        ingested(Tfds(tfds=f"unreachable/{name}"), str(tmp_path), new_run())
    assert cause in failed.value.cause
    assert failed.value.exit_code == 75


def test_a_label_unknown_to_the_builder_is_a_data_error(tmp_path, new_run):
    with pytest.raises(DataError) as refused:
        ingested(Tfds(tfds="unreachable/label"), str(tmp_path), new_run())
    assert "7" in refused.value.cause, refused.value.cause
    assert refused.value.remedy.startswith("Check the builder")


def test_an_unwritable_data_directory_is_refused(tmp_path, new_run):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises((ConfigurationError, EnvironmentFailure)) as failed:
        ingested(PNG, str(tmp_path / "file" / "data"), new_run())
    assert str(tmp_path) in failed.value.remedy or str(tmp_path) in failed.value.cause
