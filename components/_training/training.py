"""The training of one network: seeds, order and checkpoints, so that a killed training goes on bit for bit.

training = Training(features, settings, scratch / "checkpoint.npz")
for row in training.epochs(settings.epochs): ...   # {"loss", "accuracy", "val_loss", "val_accuracy"} of each new epoch
training.finish()
training.network                                   # holds the weights to keep
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

from components._training.batches import Feed
from components.models import networks
from schemas.artifacts import Features
from schemas.errors import Refused
from schemas.settings.train import Train

with epy.lazy_imports():
    import keras
    import numpy as np
    import tensorflow as tf

Row = dict[str, float]


class Training:
    """A network, what was learnt so far (`history`, a row for each epoch), and the checkpoint to go on from.

    Order hangs on (seed, epoch) alone: how often it was killed and resumed changes no bit.
    """

    def __init__(self, features: Features, settings: Train, checkpoint: Path) -> None:
        keras.utils.set_random_seed(settings.seed)
        tf.config.experimental.enable_op_determinism()
        self.settings = settings
        self.feed = Feed(features, settings.batch_size, settings.seed, settings.memory_mb)
        self.network = networks.build(settings.model, features.shape, features.classes)
        # XLA makes small dense steps cheap. Its convolutions on a CPU are the slower ones, and so is, tenfold, its dropout.
        compiled = settings.model.kind == "mlp" and not settings.model.dropout
        self._trainer = _trainer(self.network, networks.augmentation(settings.model, features.shape), compiled=compiled)
        self._trainer.compile(
            optimizer=networks.optimizer(settings.optimizer, settings.epochs * self.feed.calls * self.feed.group),
            loss=_loss(settings),
            metrics=["accuracy"],
            jit_compile=False,
        )
        self._validation = self.feed.validation()
        self._trainer.test_on_batch(
            *next(iter(self._validation))
        )  # builds it: `fit` would build it on a whole group of batches
        self._trainer.optimizer.build(self._trainer.trainable_variables)
        self._checkpoint, self._best, self.history = checkpoint, list[Any](), list[Row]()
        if checkpoint.exists():
            self._restore()

    def begin_with(self, saved_model: Path) -> bool:
        """Whether a SavedModel of the line has the same layers; if so, the network has its weights."""
        before = self.network.get_weights()
        try:
            variables = tf.train.Checkpoint(network=self.network).read(str(saved_model / "variables" / "variables"))
            variables.assert_existing_objects_matched().expect_partial()
        except (ValueError, AssertionError):  # TensorFlow's words for another shape, and for another layer
            self.network.set_weights(before)
            return False
        return True

    def epochs(self, until: int) -> Iterator[Row]:
        """Train up to epoch `until`, or until early stopping; a row after each epoch, when its checkpoint is written.

        Raises:
            Refused: the loss is no longer a number.
        """
        while len(self.history) < until and not self._stalled:
            epoch = len(self.history)
            given = {"validation_data": self._validation, "shuffle": False, "verbose": 0}
            fitted = self._trainer.fit(self.feed.epoch(epoch), initial_epoch=epoch, epochs=epoch + 1, **given)
            row = {name: float(values[-1]) for name, values in fitted.history.items()}
            if not np.isfinite([row["loss"], row["val_loss"]]).all():
                rate = self.settings.optimizer.learning_rate
                raise Refused(
                    f"the loss is no longer a number in epoch {epoch + 1} of {self.settings.epochs}",
                    f"Lower train.optimizer.learning_rate (now {rate:g}), or look at the data.",
                )
            self._add(row)
            yield row

    def finish(self) -> Row:
        """The row of the weights that are kept: the best where training may stop early, the last otherwise."""
        if not self.settings.early_stopping:
            return self.history[-1]
        for variable, value in zip(self.network.variables, self._best, strict=True):
            variable.assign(value)
        return max(self.history, key=_accuracy)

    @property
    def _stalled(self) -> bool:
        """No rise of validation accuracy for as many epochs as early stopping allows."""
        stopping = self.settings.early_stopping
        if not stopping or len(self.history) <= stopping.patience:
            return False
        seen = [_accuracy(row) for row in self.history]
        return max(seen[-stopping.patience :]) <= max(seen[: -stopping.patience]) + stopping.min_delta

    def _variables(self) -> list[Any]:
        """All state of a training: weights, optimizer, and the random generators of dropout and augmentation."""
        augmentation = self._trainer.augmentation
        return [
            *self.network.variables,
            *self._trainer.optimizer.variables,
            *(augmentation.variables if augmentation else ()),
        ]

    def _restore(self) -> None:
        with np.load(self._checkpoint, allow_pickle=False) as saved:
            state, self._best = (
                [saved[f"{kind}{i}"] for i in range(int(saved[f"{kind}s"]))] for kind in ("variable", "best")
            )
            for variable, value in zip(self._variables(), state, strict=True):
                variable.assign(value)
            self.history = json.loads(str(saved["history"]))

    def _add(self, row: Row) -> None:
        if self.settings.early_stopping and (not self.history or _accuracy(row) > max(map(_accuracy, self.history))):
            self._best = [v.numpy() for v in self.network.variables]
        self.history.append(row)
        state = {"variable": [v.numpy() for v in self._variables()], "best": self._best}
        arrays = {f"{kind}{i}": value for kind, values in state.items() for i, value in enumerate(values)}
        sizes = {f"{kind}s": len(values) for kind, values in state.items()}
        temporary = self._checkpoint.with_suffix(".part")
        try:
            with temporary.open("wb") as file:
                np.savez(file, history=json.dumps(self.history), **sizes, **arrays)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._checkpoint)
        finally:
            temporary.unlink(missing_ok=True)  # on a full disk half a checkpoint would stand in the way


def _accuracy(row: Row) -> float:
    return row["val_accuracy"]


def _loss(settings: Train) -> Any:
    if settings.loss == "categorical_crossentropy":
        return keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy()


def _trainer(network: "keras.Model", augmentation: "keras.layers.Layer | None", *, compiled: bool) -> "keras.Model":
    """A Keras model whose training step makes a whole group of steps inside one call, which XLA compiles if `compiled`.

    Each call from Python, and each element from `tf.data`, costs more than a step of a small network does. Keras's own
    `jit_compile` is silently off while deterministic ops are asked for; what XLA compiles for a CPU is deterministic.
    """

    class Trainer(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network, self.augmentation = network, augmentation

        def call(self, images: Any, training: bool = False) -> Any:
            if training and self.augmentation is not None:
                images = self.augmentation(images, training=True)
            return self.network(images, training=training)

        def train_step(self, data: Any) -> dict[str, Any]:
            self.steps(*data)
            return self.get_metrics_result()

        @tf.function(jit_compile=compiled)
        def steps(self, images: Any, labels: Any) -> None:
            def step(i: Any) -> Any:
                with tf.GradientTape() as tape:
                    predicted = self(images[i], training=True)
                    loss = self.compute_loss(y=labels[i], y_pred=predicted, training=True)
                self._loss_tracker.update_state(loss, sample_weight=images.shape[1])
                self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
                self.compute_metrics(None, labels[i], predicted)
                return i + 1

            tf.while_loop(lambda i: i < images.shape[0], step, [tf.constant(0)])

    return Trainer()
