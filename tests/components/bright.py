"""A dataset so small that a training takes a second: 60 images to train on, 40 to validate on, bright or dark."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from schemas.artifacts import Features
from schemas.settings.train import Mlp, Optimizer, Train
from tests.components import pictures

# With dropout, so that nothing is compiled: that takes longer than the training.
TRAIN = Train(model=Mlp(layers=[4], dropout=0.1), optimizer=Optimizer(name="sgd", learning_rate=0.1), batch_size=20)


def features(folder: Path) -> Features:
    """Images of 4 x 4 pixels in 2 classes."""
    random, splits = np.random.default_rng(1), {}
    for split, count in (("train", 60), ("validation", 40)):
        records = []
        for i in range(count):
            message = tf.train.Example()
            message.features.feature["image"].float_list.value.extend(
                (random.random(16) * 0.9 + 0.1 * (i % 2)).tolist()
            )
            message.features.feature["label"].int64_list.value.append(i % 2)
            records.append(message.SerializeToString(deterministic=True))
        splits[split] = pictures.write(folder, split, records)
    return Features(folder, splits=splits, shape=(4, 4, 1), classes=2, one_hot=False)
