"""transform: raw images and labels become features, by a graph that is served with the model."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.transform import transform
from pipeline.lineage import now
from pipeline.store import Store
from schemas.artifacts import Verdict
from schemas.errors import DataError
from schemas.settings.transform import Transform
from tests.components import pictures

OWN = pictures.contract()


def transformed(examples, run, *, contract=OWN, **settings):
    passed = Verdict(run.out, passed=True)
    return transform.function(examples, passed, contract=contract, settings=Transform(**settings), run=run)


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """Colour images with validation and test splits that are much brighter than train."""
    splits = {}
    for seed, split in enumerate(("train", "validation", "test")):
        images, labels = pictures.pictures(50, seed=seed)
        splits[split] = (images if split == "train" else 255 - images // 2, labels)
    return pictures.examples(tmp_path_factory.mktemp("colour") / "examples", 2, **splits)


@pytest.fixture(scope="module")
def standardized(colour, tmp_path_factory):
    from tests.conftest import folder_run

    return transformed(
        colour, folder_run(tmp_path_factory.mktemp("standardized")), scale="standardize", label="one_hot"
    )


def test_unit_scale_is_pixels_over_255(few, features):
    for split in ("train", "validation"):
        images, labels = pictures.preprocessed(features, split)
        assert images.dtype == np.float32
        np.testing.assert_allclose(images, pictures.images(few, split) / 255, atol=1e-7)
        np.testing.assert_array_equal(labels, pictures.columns(few, split)["label"])


def test_standardized_train_images_have_mean_0_and_variance_1_per_channel(standardized):
    images, _ = pictures.preprocessed(standardized, "train")
    by_channel = images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(by_channel.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(by_channel.var(0), 1, atol=1e-4)


def test_validation_is_scaled_by_the_statistics_of_train(colour, standardized):
    train = pictures.images(colour, "train").reshape(-1, 3).astype(np.float64)
    expected = (pictures.images(colour, "validation") - train.mean(0)) / train.std(0)
    images, _ = pictures.preprocessed(standardized, "validation")
    np.testing.assert_allclose(images, expected, atol=1e-4)
    assert abs(images.mean()) > 0.5  # it would be 0 if validation had been used


def test_constant_images_are_standardized_to_zero(tmp_path, new_run):
    images, labels = np.full((6, 8, 10, 3), 9, np.uint8), np.arange(6) % 3
    examples = pictures.examples(
        tmp_path / "constant", train=(images, labels), validation=(images, labels), test=(images, labels)
    )
    images_, _ = pictures.preprocessed(transformed(examples, new_run(), scale="standardize"), "train")
    np.testing.assert_allclose(images_, 0, atol=1e-3)


def test_labels_are_one_hot_or_indices_as_configured(colour, standardized, features):
    _, labels = pictures.preprocessed(standardized, "train")
    expected = pictures.columns(colour, "train")["label"]
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, np.eye(3, dtype=np.float32)[expected])
    assert (standardized.one_hot, standardized.shape, standardized.classes) == (True, (8, 10, 3), 3)
    assert (features.one_hot, features.shape, features.classes) == (False, (28, 28, 1), 10)


def test_tf_transform_reads_the_output(standardized):
    output = tft.TFTransformOutput(str(standardized.path))
    assert output.raw_feature_spec() == {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    spec = output.transformed_feature_spec()
    assert (list(spec["image"].shape), spec["image"].dtype) == ([8, 10, 3], tf.float32)
    assert (list(spec["label"].shape), spec["label"].dtype) == ([3], tf.float32)


def test_raw_images_of_the_models_size_are_stored_unchanged(colour, standardized):
    pixels, labels = pictures.stored(standardized, "validation")
    np.testing.assert_array_equal(pixels, pictures.images(colour, "validation"))
    np.testing.assert_array_equal(labels, pictures.columns(colour, "validation")["label"])


def test_the_test_split_is_not_transformed(standardized, colour):
    assert list(standardized.splits) == ["train", "validation"]
    assert {split: split_.count for split, split_ in standardized.splits.items()} == {"train": 50, "validation": 50}
    assert standardized.splits["train"] == colour.splits["train"]
    assert not [name for name in pictures.contents(standardized.path) if name.startswith("test")]


@pytest.mark.parametrize("workers", [1, 2])
def test_features_do_not_depend_on_the_number_of_workers(workers, colour, standardized, new_run):
    repeated = transformed(colour, new_run(workers=workers), scale="standardize", label="one_hot")
    shards = [
        {n: c for n, c in pictures.contents(f.path).items() if n.endswith(".tfrecord")}
        for f in (repeated, standardized)
    ]
    assert len(shards[1]) == 4
    assert shards[0] == shards[1]


def test_features_do_not_depend_on_the_shards(colour, standardized, tmp_path, new_run):
    single_shard_splits = {
        split: pictures.write(tmp_path, split, pictures.records(colour, split), 1) for split in colour.splits
    }
    other = transformed(
        dataclasses.replace(colour, path=tmp_path, splits=single_shard_splits),
        new_run(),
        scale="standardize",
        label="one_hot",
    )
    for split in ("train", "validation"):
        for one, two in zip(
            pictures.preprocessed(standardized, split), pictures.preprocessed(other, split), strict=True
        ):
            np.testing.assert_allclose(one, two, atol=1e-5)


def test_equal_graphs_have_equal_digests_despite_different_bytes(colour, standardized, tmp_path, new_run):
    store, repeated = Store(tmp_path / "store"), transformed(colour, new_run(), scale="standardize", label="one_hot")
    saved = [features.path / "transform_fn" / "saved_model.pb" for features in (standardized, repeated)]
    assert saved[0].read_bytes() != saved[1].read_bytes()
    digests = []
    for i, features in enumerate((standardized, repeated)):
        with store.staging("transform", str(i)) as out:
            shutil.copytree(features.path, out, dirs_exist_ok=True)
            digests.append(store.commit(dataclasses.replace(features, path=out), "transform", str(i), {}, now()).digest)
    assert digests[0] == digests[1]
    images, labels = pictures.pictures(50, seed=9)
    brighter = pictures.examples(
        tmp_path / "other", 2, **dict.fromkeys(("train", "validation", "test"), (images // 2, labels))
    )
    other_features = [
        transformed(brighter, new_run(), scale="standardize", label="one_hot"),
        transformed(colour, new_run(), scale="unit", label="one_hot"),
    ]
    assert len({standardized.graph, *(other.graph for other in other_features)}) == 3


def test_refused_data_is_never_transformed(few, mnist, new_run):
    run = new_run()
    with pytest.raises(DataError, match="transform was given data that validate refused"):
        transform.function(few, Verdict(run.out, passed=False), contract=mnist, settings=Transform(), run=run)
    assert pictures.contents(run.out) == {}
