"""Models with known true accuracy: their predictions on a large population of images, from which test sets are drawn.

early, late = trained(digits("/data"), seed=0)
late.accuracy                            # true
late.degraded(0.001, rng)                   # truly 0.1 point worse
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from etils import epy

with epy.lazy_imports():
    import keras
    import tensorflow_datasets as tfds

TRAIN = 20_000  # images; the other 40,000 of the split are the population
EPOCHS, EARLY = 6, 3
CLOSE = 0.00005  # half of a hundredth of a point

Digits = tuple[np.ndarray, np.ndarray]  # float32 [n, 784] in [0, 1] and int64 [n]


@dataclass(frozen=True)
class Model:
    """The inputs and outputs of the last layer of a classifier on n images."""

    hidden: np.ndarray  # float32 [n, units]
    logits: np.ndarray  # float32 [n, classes]
    labels: np.ndarray  # int64 [n]

    @cached_property
    def right(self) -> np.ndarray:
        """bool [n]."""
        right: np.ndarray = self.logits.argmax(1) == self.labels
        return right

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    def degraded(self, amount: float, rng: np.random.Generator) -> Self:
        """This model with noise on the weights of its last layer that reduces the accuracy by `amount`."""
        noise = rng.normal(size=(self.hidden.shape[1], self.logits.shape[1])).astype(np.float32)
        change, target = self.hidden @ noise, self.accuracy - amount
        low, high, scale, model = 0.0, np.inf, 0.01, self
        while abs(model.accuracy - target) > max(CLOSE, 0.51 / len(self.labels)):
            model = type(self)(self.hidden, self.logits + np.float32(scale) * change, self.labels)
            low, high = (scale, high) if model.accuracy > target else (low, scale)
            scale = 2 * low if high == np.inf else (low + high) / 2
        return model


def digits(data_dir: str | None) -> Digits:
    """MNIST's train split. The test split is for final metrics only; no choice, gates included, depends on it."""
    batch = next(tfds.builder("mnist", data_dir=data_dir).as_dataset(split="train").batch(60_000).as_numpy_iterator())
    return batch["image"].reshape(-1, 784) / np.float32(255), batch["label"]


def trained(train_split: Digits, seed: int) -> Iterator[Model]:
    """A multilayer perceptron after EARLY and after all epochs, trained on the first images and shifted copies."""
    images, labels = train_split
    square = images[:TRAIN].reshape(-1, 28, 28)
    shifted = np.concatenate([square, *(np.roll(square, step, axis) for axis in (1, 2) for step in (1, -1))]).reshape(
        -1, 784
    )
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((784,))
    hidden = keras.layers.Dense(128, "relu")(keras.layers.Dense(256, "relu")(inputs))
    model = keras.Model(inputs, [keras.layers.Dense(10)(hidden), hidden])
    rate = keras.optimizers.schedules.CosineDecay(1e-3, EPOCHS * len(shifted) // 250)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), [loss, None], jit_compile=True)
    for start, end in ((0, EARLY), (EARLY, EPOCHS)):
        model.fit(shifted, np.tile(labels[:TRAIN], 5), 250, initial_epoch=start, epochs=end, verbose=0)
        logits, hidden_values = model.predict(images[TRAIN:], batch_size=4000, verbose=0)
        yield Model(hidden_values, logits, labels[TRAIN:])


def simulated(seed: int, size: int = 10_000) -> Iterator[Model]:
    """The same without training or images: ten clusters of points, and two last layers with different noise."""
    points = np.random.default_rng(0)
    labels = points.integers(0, 10, size)
    hidden = (np.eye(32)[labels] * 5 + points.normal(size=(size, 32))).astype(np.float32)
    rng = np.random.default_rng(seed + 1)
    for noise in (0.3, 0.2):
        yield Model(
            hidden, hidden @ (np.eye(32, 10) + noise * rng.normal(size=(32, 10)) / 3).astype(np.float32), labels
        )
