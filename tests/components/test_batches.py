"""Batches of a train split that does not fit in memory."""

import numpy as np
import pytest

from components._training.batches import Batches
from schemas.settings.train import Mlp, Train
from tests.components import bright
from tests.components.trainings import history, same, trained, weights


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
