"""Batches of a train split that does not fit in memory."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components._training import batches
from components._training.batches import Batches
from components._training.blocks import Blocks
from components.transform import transform
from schemas.artifacts import Split, Verdict
from schemas.errors import DataError
from schemas.settings.train import Mlp, Train
from schemas.settings.transform import Transform
from tests.bad.shards.make import COUNT
from tests.components import bright, pictures
from tests.components.test_damaged_shards import BAD
from tests.components.trainings import history, same, trained, weights
from tests.conftest import folder_run


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """1,600 images of 28 x 28 make 1.25 MB, more than the megabyte that the tests allow; in three shards."""
    return bright.features(tmp_path_factory.mktemp("large"), (28, 28, 1), 1600)


def test_a_train_split_larger_than_memory_is_streamed(large):
    feeds = {mb: Batches(large, batch_size=50, seed=1, memory_mb=mb) for mb in (1, 1024)}
    epochs = {
        mb: [[label for _, labels in feed.epoch(n) for label in labels.numpy().ravel()] for n in (0, 1)]
        for mb, feed in feeds.items()
    }
    for orders in epochs.values():
        assert [sum(order) for order in orders] == [800, 800]
        assert orders[0] != orders[1]
    streamed = feeds[1]
    first, repeated = ([images.numpy() for images, _ in streamed.epoch(3)] for _ in range(2))
    assert same(first, repeated)
    sums = [
        sorted(np.concatenate([i.numpy().reshape(-1, 784) for i, _ in feed.epoch(0)]).sum(1).tolist())
        for feed in feeds.values()
    ]
    np.testing.assert_allclose(*sums, rtol=1e-6)  # every image once, in both cases


@pytest.mark.slow
def test_a_streamed_training_is_reproducible(large, new_run):
    settings = Train(model=Mlp(layers=[16]), epochs=2, memory_mb=1)
    one, other = (trained(large, settings, new_run()) for _ in range(2))
    assert same(weights(one), weights(other))
    assert history(one)[-1]["loss"] < history(one)[0]["loss"]


def sorted_by_label(folder, counts, shape=(32, 32, 3), shards=6):
    """Features whose shards hold one label after the other; each image states its position in its first pixels."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.random.default_rng(1).integers(0, 256, (len(labels), *shape), np.uint8)
    images.reshape(len(labels), -1)[:, :4] = np.arange(len(labels), dtype=np.uint32)[:, None].view(np.uint8)
    examples = pictures.examples(
        folder / "examples", shards, train=(images, labels), validation=(images[:9], labels[:9])
    )
    run = folder_run(folder / "transform")
    passed, contract = Verdict(run.out, passed=True), pictures.contract(shape, len(counts))
    return transform.function(examples, passed, contract=contract, settings=Transform(), run=run)


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
    """16,000 images of 3 KB, label by label: 49 MB in six shards, each of one label alone."""
    return sorted_by_label(tmp_path_factory.mktemp("sorted"), [8000, 8000])


def streamed(features, epoch, *, seed=1, batch_size=32):
    """(positions [batches, batch], labels of the same) of a streamed epoch."""
    feed = Batches(features, batch_size=batch_size, seed=seed, memory_mb=1)
    groups = [(images.numpy(), labels.numpy()) for images, labels in feed.epoch(epoch)]
    pixels = np.concatenate([images.reshape(-1, feed.batch, images[0, 0].size)[..., :4] for images, _ in groups])
    positions = np.rint(pixels * 255).astype(np.int64) @ 256 ** np.arange(4)
    return positions, np.concatenate([labels.reshape(-1, feed.batch) for _, labels in groups])


def test_a_streamed_epoch_of_records_sorted_by_label_has_mixed_batches(two_classes, monkeypatch):
    monkeypatch.setattr(batches, "BUFFER_BYTES", 8 * 2**20)  # a sixth of the split
    positions, labels = streamed(two_classes, 0)
    shares = labels.mean(axis=1)
    assert shares.min() > 0.15
    assert shares.max() < 0.85
    assert abs(shares[: len(shares) // 4].mean() - 0.5) < 0.1
    assert np.unique(positions).size == positions.size == 16_000


def test_the_order_of_a_streamed_epoch_depends_on_seed_and_epoch_alone(two_classes):
    first, repeated, other_epoch, other_seed = (
        streamed(two_classes, epoch, seed=seed)[0] for epoch, seed in ((3, 1), (3, 1), (4, 1), (3, 2))
    )
    np.testing.assert_array_equal(first, repeated)
    for other in (other_epoch, other_seed):
        assert (first != other).mean() > 0.9


def test_a_shard_that_is_listed_twice_is_streamed_twice(two_classes):
    split = two_classes.splits["train"]
    doubled = Split((*split.shards, split.shards[0]), (*split.counts, split.counts[0]))
    positions, _ = streamed(dataclasses.replace(two_classes, splits=two_classes.splits | {"train": doubled}), 0)
    counts = np.bincount(positions.ravel(), minlength=16_000)
    # An epoch leaves out the examples that fill no group of batches.
    assert (counts[split.counts[0] :] <= 1).all()
    assert (counts[: split.counts[0]] == 2).mean() > 0.97
    assert counts.sum() == positions.size > 18_000


@pytest.mark.parametrize(("records", "size"), [(1, 2**20), (7, 2**20), (10_000, 5_000), (10_000, 2**20)])
def test_blocks_cover_every_record_once(records, size, tmp_path):
    contents = [np.random.default_rng(i).bytes(100 + i * 13 % 700) for i in range(300)]
    shards = []
    for i in range(3):
        split = pictures.write(tmp_path, f"part{i}", contents[i::3])
        shards.append((tmp_path / split.shards[0], split.count))
    blocks = Blocks.of(shards, records, size)
    assert blocks.records.max() <= records
    assert blocks.sizes.max() < size + 816
    read = list(blocks.read(np.random.default_rng(1).permutation(len(blocks))).as_numpy_iterator())
    assert sorted(read) == sorted(contents)


def test_records_larger_than_a_block_are_blocks_of_their_own(tmp_path):
    split = pictures.write(tmp_path, "train", [bytes(3000), bytes(10), bytes(3000)])
    blocks = Blocks.of([(tmp_path / split.shards[0], 3)], 100, 1000)
    assert blocks.records.tolist() == [1, 2]


@pytest.mark.parametrize("fault", [path.stem for path in sorted(BAD.glob("*.tfrecord")) if path.stem != "sound"])
def test_a_damaged_shard_is_named_before_or_while_it_is_streamed(fault, tmp_path):
    path = BAD / f"{fault}.tfrecord"
    with pytest.raises((DataError, tf.errors.DataLossError)) as refused:
        list(Blocks.of([(path, COUNT)], 2, 2**20).read(np.arange(3)))
    if isinstance(refused.value, DataError):
        assert str(path) in refused.value.cause
