"""describe: statistics of every split, in one Beam pass."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.describe import describe
from schemas import statistics
from tests.components import pictures


def described(examples, run):
    return describe.function(examples, run=run)


def read(found):
    return statistics.read(found.path / "stats.tfrecord")


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Colour images with every oddity, in the numbers that the tests expect."""
    train, train_labels = pictures.pictures(40, seed=1)
    test, test_labels = pictures.pictures(12, seed=2)
    validation, validation_labels = pictures.pictures(8, seed=3)
    train[1:4] = train[0]  # three copies in train
    test[:2] = train[0]  # two of them in test too
    test[5] = train[9]
    validation[3] = train[9]
    train[20], train[21] = 7, 9  # of one colour
    path = tmp_path_factory.mktemp("odd") / "examples"
    return pictures.examples(
        path, 3, train=(train, train_labels), validation=(validation, validation_labels), test=(test, test_labels)
    )


@pytest.fixture(scope="module")
def odd_statistics(odd, tmp_path_factory):
    from tests.conftest import lent

    return read(described(odd, lent(tmp_path_factory.mktemp("described"))))


def test_stats_is_one_list_of_a_data_set_for_each_split(sample, sample_statistics):
    (record,) = tf.data.TFRecordDataset(str(sample_statistics.path / "stats.tfrecord")).as_numpy_iterator()
    found = statistics_pb2.DatasetFeatureStatisticsList.FromString(record)
    assert [(d.name, d.num_examples) for d in found.datasets] == [
        (name, split.count) for name, split in sample.splits.items()
    ]
    assert sample_statistics.counts == {name: split.count for name, split in sample.splits.items()}
    names = {
        "image",
        "label",
        "image/height",
        "image/width",
        "image/channels",
        "source/dataset",
        "source/version",
        "source/split",
    }
    for dataset in found.datasets:
        assert {feature.path.step[0] for feature in dataset.features} == names


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_pixels_are_described_as_numpy_describes_them(split, sample, sample_statistics):
    found, images = read(sample_statistics)[split], pictures.images(sample, split)
    assert statistics.custom(found, "pixel mean") == pytest.approx(images.mean())
    assert statistics.custom(found, "pixel std") == pytest.approx(images.std())
    assert statistics.pixels(found) == np.bincount(images.reshape(-1), minlength=256).tolist()
    quantiles = next(
        s.histogram for s in statistics.feature(found, "image").custom_stats if s.name == "pixel quantiles"
    )
    expected = np.quantile(images, np.linspace(0, 1, 11), method="inverted_cdf")
    assert [b.low_value for b in quantiles.buckets] == expected[:-1].tolist()
    assert [b.high_value for b in quantiles.buckets] == expected[1:].tolist()
    assert statistics.feature(found, "image").bytes_stats.avg_num_bytes == 28 * 28


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_labels_sizes_and_sources_are_counted(split, sample, sample_statistics):
    found, columns = read(sample_statistics)[split], pictures.columns(sample, split)
    labels, counts = np.unique(columns["label"], return_counts=True)
    assert statistics.values(found, "label") == dict(zip(map(str, labels.tolist()), counts.tolist(), strict=True))
    size = sample.splits[split].count
    assert [statistics.values(found, f"image/{side}") for side in ("height", "width", "channels")] == [
        {"28": size},
        {"28": size},
        {"1": size},
    ]
    assert statistics.values(found, "source/dataset") == {"mnist_sample": size}
    common = statistics.feature(found, "label").string_stats.common_stats
    assert (common.num_non_missing, common.num_missing) == (size, 0)


def test_the_sample_has_no_oddities(sample_statistics):
    for dataset in read(sample_statistics).values():
        assert {name: statistics.custom(dataset, name) for name in ("malformed", "constant")} == {
            "malformed": 0,
            "constant": 0,
        }


def test_duplicates_are_counted_within_each_split(odd_statistics):
    assert {name: statistics.custom(found, "duplicates") for name, found in odd_statistics.items()} == {
        "train": 3,
        "validation": 0,
        "test": 1,
    }


def test_images_that_stand_in_another_split_are_counted_on_both_sides(odd_statistics):
    assert statistics.leaked(odd_statistics["test"]) == {"train": 3, "validation": 1}
    assert statistics.leaked(odd_statistics["train"]) == {"test": 5, "validation": 1}
    assert statistics.leaked(odd_statistics["validation"]) == {"train": 1, "test": 1}


def test_images_of_one_colour_are_counted(odd_statistics):
    assert {name: statistics.custom(found, "constant") for name, found in odd_statistics.items()} == {
        "train": 2,
        "validation": 0,
        "test": 0,
    }


def test_colour_images_are_described_over_all_channels(odd, odd_statistics):
    images = pictures.images(odd, "train")
    assert images.shape == (40, 8, 10, 3)
    assert statistics.custom(odd_statistics["train"], "pixel mean") == pytest.approx(images.mean())
    assert statistics.values(odd_statistics["train"], "image/channels") == {"3": 40}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_images_give_the_same_bytes_however_they_are_split(workers, odd, odd_statistics, tmp_path, lend):
    whole = {split: pictures.write(tmp_path, split, pictures.records(odd, split), 1) for split in odd.splits}
    one = described(type(odd)(tmp_path, splits=whole, source=odd.source), lend(workers=workers))
    other = described(odd, lend(workers=workers))
    for name in ("stats.tfrecord", "leaked.json"):
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes()
    assert read(one) == odd_statistics


def test_malformed_and_missing_are_counted(tmp_path, lend):
    images, labels = pictures.pictures(9, seed=4)
    made = pictures.examples(tmp_path / "sound", train=(images, labels))
    records = pictures.records(made, "train")
    records[2] = pictures.without(records[2], "label")
    records[3] = pictures.without(records[3], "image")
    records[4] = pictures.without(records[4], "image/height")
    (tmp_path / "broken").mkdir()
    splits = {"train": pictures.write(tmp_path / "broken", "train", records)}
    found = read(described(type(made)(tmp_path / "broken", splits=splits, source="own"), lend()))["train"]
    assert statistics.custom(found, "malformed") == 1
    missing = {
        name: (
            statistics.feature(found, name).bytes_stats
            if name == "image"
            else statistics.feature(found, name).string_stats
        ).common_stats.num_missing
        for name in ("image", "label", "image/height", "image/width")
    }
    assert missing == {"image": 1, "label": 1, "image/height": 1, "image/width": 0}
