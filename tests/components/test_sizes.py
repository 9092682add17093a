"""Large images and many classes: memory is bounded by bytes, and thresholds allow for chance at every size."""

import numpy as np
import pytest
import tensorflow as tf

from components._data.distances import divergence
from components._data.statistics import ImageStatistics
from components._evaluation import evaluator, metrics
from components._training import batches
from components._training.batches import Batches
from schemas import example, shard_reader, statistics
from schemas.artifacts import Features, Split
from schemas.errors import DataError
from schemas.model_input import ModelInput
from tests.components import pictures


def test_a_batch_of_records_is_bounded_by_bytes(tmp_path):
    images = np.zeros((7, 10, 10, 3), np.uint8)
    examples = pictures.examples(tmp_path / "own", train=(images, np.arange(7)))
    [(_, path, count)] = examples.shards("train")
    size = len(next(shard_reader.read(path, count, 1))[0])
    sizes = [len(records) for records in shard_reader.read(path, count, most=3 * size)]
    assert sizes == [3, 3, 1]
    assert [len(records) for records in shard_reader.read(path, count, most=1)] == [1] * 7


def test_batches_of_corrupted_images_are_bounded(tmp_path):
    side = 300
    images = np.random.default_rng(1).integers(0, 256, (40, side, side, 3), np.uint8)
    examples = pictures.examples(tmp_path / "own", test=(images, np.arange(40) % 4))
    [(_, path, count)] = examples.shards("test")
    plan = evaluator.EvaluationPlan(
        model_input=ModelInput((side, side, 3), (side, side, 3)), classes=4,
        slicings=(("label",),), derived={}, corruptions=("shift", "noise", "blur"),
        corrupted=1.0, leaked=frozenset(), fresh=None, confidence=0.95, min_examples=1,
    )  # fmt: skip
    sizes, corrupted = [], set()
    for batch in evaluator.read_batches((str(path), count, False), plan):
        sizes.append(sum(map(len, batch["input"])))
        features = batch["features"]
        corrupted |= set(zip(features["corruption"].tolist(), features["source/index"].tolist(), strict=True))
    largest = example.BATCH_BYTES + side * side * 3 + 1000
    assert max(sizes) <= largest
    assert corrupted == {(name, i) for name in ("", "shift", "noise", "blur") for i in range(40)}


def test_sums_of_a_thousand_classes_are_sparse():
    random = np.random.default_rng(1)
    labels, probabilities = random.integers(0, 1000, 50), random.random((50, 1000)).astype(np.float32)
    sums = metrics.Sums.of(labels, probabilities, 1000)
    assert len(sums.cells) <= 50
    merged = metrics.Sums.merged([sums, metrics.Sums.of(labels[:20], probabilities[:20], 1000)])
    concatenated = metrics.Sums.of(np.r_[labels, labels[:20]], np.r_[probabilities, probabilities[:20]], 1000)
    assert list(merged.confusion(1000)) == list(concatenated.confusion(1000))
    assert sum(count for _, _, count in merged.confusion(1000)) == 70
    assert merged.metrics() == pytest.approx(concatenated.metrics())
    assert (metrics.Sums.empty() + sums).metrics() == sums.metrics()


@pytest.mark.parametrize(("shape", "limit"), [((28, 28, 1), 64), ((224, 224, 3), 2)])
def test_a_training_call_is_bounded_by_bytes(shape, limit, tmp_path):
    features = Features(
        tmp_path, splits={"train": Split(("t",), (9_600,)), "validation": Split(("v",), (2_000,))},
        shape=shape, classes=2, one_hot=False,
    )  # fmt: skip
    trained = Batches(features, batch_size=64, seed=1, memory_mb=1)
    image_bytes = 4 * np.prod(shape)
    assert limit / 2 <= trained.group <= limit
    assert trained.group * trained.batch * image_bytes <= max(batches.GROUP_BYTES, trained.batch * image_bytes)


def test_a_damaged_shard_among_many_is_named(tmp_path):
    examples = pictures.examples(tmp_path / "own", 4, train=pictures.pictures(40, seed=1))
    shards = [(path, count) for _, path, count in examples.shards("train")]
    shard_reader.check(shards)
    shard_reader.check([])
    content = shards[2][0].read_bytes()
    shards[2][0].write_bytes(content[:-30])
    with pytest.raises(DataError, match=f"shard {shards[2][0]} ends in the middle of record 10 of 10"):
        shard_reader.check(shards)


def described(images):
    labels = np.zeros(len(images), np.int64)
    encode = example.encoder("own", "1", "train")
    records = [encode(image, 0, i) for i, image in enumerate(images)]
    assert len(labels) == len(records)
    columns = shard_reader.parse(records, None)
    return statistics.encode("train", ImageStatistics.of(columns), 0, {}, {})


@pytest.mark.parametrize("size", [20, 45, 150])
def test_a_random_split_is_explained_by_chance_and_a_darker_one_is_not(size):
    """Images with their own brightness each, so they differ more than independent pixels."""
    random = np.random.default_rng(size)
    base = random.integers(20, 200, (600, 1, 1, 1)) + random.integers(0, 40, (600, 12, 12, 1))
    images = base.astype(np.uint8)
    excess = []
    for _ in range(40):
        order = random.permutation(len(images))
        difference, chance = divergence(described(images[order[:size]]), described(images[order[size:]]))
        excess.append(difference / chance)
    assert max(excess) < 1
    assert np.mean(excess) == pytest.approx(1 / 10.83, rel=0.6)
    difference, chance = divergence(described(images[:size] // 4), described(images[size:]))
    assert difference > chance


@pytest.mark.parametrize("sides", [(8, 10, 6), (4, 5, 3), (0, 0, 0), (16, 10, 3)])
def test_a_served_record_of_another_size_is_an_error(sides):
    from components.transform import preprocessing_fn
    from schemas.settings.transform import Transform

    encode = example.encoder("own", "1", "test")
    apply = tf.function(
        lambda image: preprocessing_fn(
            {"image": image, "label": tf.zeros(tf.shape(image)[:1], tf.int64)},
            shape=(8, 10, 3), classes=2, settings=Transform(),
        )["image"],
        input_signature=[tf.TensorSpec([None], tf.string)],
    )  # fmt: skip
    records = [encode(np.zeros(sides, np.uint8), 0, i) for i in range(2)]
    contents = shard_reader.parse(records, None)["image"].tolist()
    with pytest.raises(tf.errors.InvalidArgumentError):
        apply(tf.constant(contents))
    valid_image = np.zeros((8, 10, 3), np.uint8).tobytes()
    assert apply(tf.constant([valid_image] * 3)).shape == (3, 8, 10, 3)
