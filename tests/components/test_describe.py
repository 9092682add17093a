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


def read(statistics_):
    return statistics.read(statistics_.path / "stats.tfrecord")


@pytest.fixture(scope="module")
def unusual(tmp_path_factory):
    """Colour images with copies, leaks and constant images, in the numbers that the tests expect."""
    train, train_labels = pictures.pictures(40, seed=1)
    test, test_labels = pictures.pictures(12, seed=2)
    validation, validation_labels = pictures.pictures(8, seed=3)
    train[1:4] = train[0]  # three copies in train
    test[:2] = train[0]  # two of them in test too
    test[5] = train[9]
    validation[3] = train[9]
    train[20], train[21] = 7, 9  # of one colour
    path = tmp_path_factory.mktemp("unusual") / "examples"
    return pictures.examples(
        path, 3, train=(train, train_labels), validation=(validation, validation_labels), test=(test, test_labels)
    )


@pytest.fixture(scope="module")
def unusual_statistics(unusual, tmp_path_factory):
    from tests.conftest import folder_run

    return read(described(unusual, folder_run(tmp_path_factory.mktemp("described"))))


def test_statistics_have_one_dataset_per_split(sample, sample_statistics):
    (record,) = tf.data.TFRecordDataset(str(sample_statistics.path / "stats.tfrecord")).as_numpy_iterator()
    statistics_ = statistics_pb2.DatasetFeatureStatisticsList.FromString(record)
    assert [(d.name, d.num_examples) for d in statistics_.datasets] == [
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
    for dataset in statistics_.datasets:
        assert {feature.path.step[0] for feature in dataset.features} == names


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_pixel_statistics_equal_those_of_numpy(split, sample, sample_statistics):
    dataset, images = read(sample_statistics)[split], pictures.images(sample, split)
    assert statistics.custom(dataset, "pixel mean") == pytest.approx(images.mean())
    assert statistics.custom(dataset, "pixel std") == pytest.approx(images.std())
    assert statistics.pixels(dataset) == np.bincount(images.reshape(-1), minlength=256).tolist()
    quantiles = next(
        s.histogram for s in statistics.feature(dataset, "image").custom_stats if s.name == "pixel quantiles"
    )
    expected = np.quantile(images, np.linspace(0, 1, 11), method="inverted_cdf")
    assert [b.low_value for b in quantiles.buckets] == expected[:-1].tolist()
    assert [b.high_value for b in quantiles.buckets] == expected[1:].tolist()
    assert statistics.feature(dataset, "image").bytes_stats.avg_num_bytes == 28 * 28


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_labels_sizes_and_sources_are_counted(split, sample, sample_statistics):
    dataset, columns = read(sample_statistics)[split], pictures.columns(sample, split)
    labels, counts = np.unique(columns["label"], return_counts=True)
    assert statistics.values(dataset, "label") == dict(zip(map(str, labels.tolist()), counts.tolist(), strict=True))
    size = sample.splits[split].count
    assert [statistics.values(dataset, f"image/{side}") for side in ("height", "width", "channels")] == [
        {"28": size},
        {"28": size},
        {"1": size},
    ]
    assert statistics.values(dataset, "source/dataset") == {"mnist_sample": size}
    common = statistics.feature(dataset, "label").string_stats.common_stats
    assert (common.num_non_missing, common.num_missing) == (size, 0)


def test_the_sample_has_no_malformed_or_constant_images(sample_statistics):
    for dataset in read(sample_statistics).values():
        assert {name: statistics.custom(dataset, name) for name in ("malformed", "constant")} == {
            "malformed": 0,
            "constant": 0,
        }


def test_duplicates_are_counted_within_each_split(unusual_statistics):
    assert {name: statistics.custom(dataset, "duplicates") for name, dataset in unusual_statistics.items()} == {
        "train": 3,
        "validation": 0,
        "test": 1,
    }


def test_images_in_two_splits_are_counted_in_both(unusual_statistics):
    assert statistics.leaked(unusual_statistics["test"]) == {"train": 3, "validation": 1}
    assert statistics.leaked(unusual_statistics["train"]) == {"test": 5, "validation": 1}
    assert statistics.leaked(unusual_statistics["validation"]) == {"train": 1, "test": 1}


def test_constant_images_are_counted(unusual_statistics):
    assert {name: statistics.custom(dataset, "constant") for name, dataset in unusual_statistics.items()} == {
        "train": 2,
        "validation": 0,
        "test": 0,
    }


def test_colour_images_are_described_over_all_channels(unusual, unusual_statistics):
    images = pictures.images(unusual, "train")
    assert images.shape == (40, 8, 10, 3)
    assert statistics.custom(unusual_statistics["train"], "pixel mean") == pytest.approx(images.mean())
    assert statistics.values(unusual_statistics["train"], "image/channels") == {"3": 40}


@pytest.mark.parametrize("workers", [1, 2])
def test_statistics_do_not_depend_on_shards_and_workers(workers, unusual, unusual_statistics, tmp_path, new_run):
    single_shard_splits = {
        split: pictures.write(tmp_path, split, pictures.records(unusual, split), 1) for split in unusual.splits
    }
    one = described(
        type(unusual)(tmp_path, splits=single_shard_splits, source=unusual.source), new_run(workers=workers)
    )
    other = described(unusual, new_run(workers=workers))
    for name in ("stats.tfrecord", "leaked.json"):
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes()
    assert read(one) == unusual_statistics


def test_malformed_and_missing_features_are_counted(tmp_path, new_run):
    images, labels = pictures.pictures(9, seed=4)
    examples = pictures.examples(tmp_path / "sound", train=(images, labels))
    records = pictures.records(examples, "train")
    records[2] = pictures.without_feature(records[2], "label")
    records[3] = pictures.without_feature(records[3], "image")
    records[4] = pictures.without_feature(records[4], "image/height")
    (tmp_path / "broken").mkdir()
    splits = {"train": pictures.write(tmp_path / "broken", "train", records)}
    dataset = read(described(type(examples)(tmp_path / "broken", splits=splits, source="own"), new_run()))["train"]
    assert statistics.custom(dataset, "malformed") == 1
    missing = {
        name: (
            statistics.feature(dataset, name).bytes_stats
            if name == "image"
            else statistics.feature(dataset, name).string_stats
        ).common_stats.num_missing
        for name in ("image", "label", "image/height", "image/width")
    }
    assert missing == {"image": 1, "label": 1, "image/height": 1, "image/width": 0}
