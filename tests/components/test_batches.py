"""Batches of a train split that does not fit in memory."""

import numpy as np
import tensorflow as tf

from components._training.batches import Batches
from schemas.artifacts import Features
from schemas.settings.train import Mlp, Train
from tests.components import pictures
from tests.components.trainings import history, same, trained, weights


def test_a_train_split_larger_than_memory_is_streamed(tmp_path, lend):
    """600 images of 28x28 make 1.8 MB, more than the megabyte allowed; in three shards."""
    folder = tmp_path / "large"
    made = {}
    random = np.random.default_rng(1)
    folder.mkdir()
    for split, count in (("train", 600), ("validation", 60)):
        records = []
        for i in range(count):
            message = tf.train.Example()
            message.features.feature["image"].float_list.value.extend((random.random(784) / 2 + 0.5 * (i % 2)).tolist())
            message.features.feature["label"].int64_list.value.append(i % 2)
            records.append(message.SerializeToString(deterministic=True))
        made[split] = pictures.write(folder, split, records, 3)
    large = Features(folder, splits=made, shape=(28, 28, 1), classes=2, one_hot=False)
    feeds = {mb: Batches(large, batch_size=50, seed=1, memory_mb=mb) for mb in (1, 1024)}
    epochs = {
        mb: [[label for _, labels in feed.epoch(n) for label in labels.numpy().ravel()] for n in (0, 1)]
        for mb, feed in feeds.items()
    }
    for orders in epochs.values():
        assert [sum(order) for order in orders] == [300, 300]
        assert orders[0] != orders[1]
    streamed = feeds[1]
    first, again = ([images.numpy() for images, _ in streamed.epoch(3)] for _ in range(2))
    assert same(first, again)
    sums = [
        sorted(np.concatenate([i.numpy().reshape(-1, 784) for i, _ in feed.epoch(0)]).sum(1).tolist())
        for feed in feeds.values()
    ]
    np.testing.assert_allclose(*sums, rtol=1e-6)  # every image once, either way


def test_a_streamed_training_gives_the_same_weights_twice(features, lend):
    settings = Train(model=Mlp(layers=[16]), epochs=2, memory_mb=1)
    one, other = (trained(features, settings, lend()) for _ in range(2))
    assert same(weights(one), weights(other))
    assert history(one)[-1]["loss"] < history(one)[0]["loss"]
