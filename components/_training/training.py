"""Trains one network. Seeds, order and checkpoints make a resumed training equal to an uninterrupted one, bit for bit.

training = Training(features, settings, scratch / "checkpoint.npz")
for row in training.epochs(settings.epochs): ...   # {"loss", "accuracy", "val_loss", "val_accuracy"} of each new epoch
training.finish()
training.network                                   # holds the weights to keep
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

from components._training import keras_defaults, optimizers
from components._training.batches import Batches
from components._training.checkpoint import Checkpoint
from components._training.trainer import trainer
from components.models.build import augmentation, build
from schemas.artifacts import Features
from schemas.errors import Refused
from schemas.settings.train import Train

with epy.lazy_imports():
    import keras
    import numpy as np
    import tensorflow as tf

Row = dict[str, float]


class Training:
    """A network, its `history` (a row for each epoch), and the checkpoint that a killed training resumes from.

    The order of images depends on (seed, epoch) alone: kills and resumes change no bit of the weights.
    """

    def __init__(self, features: Features, settings: Train, checkpoint: Path) -> None:
        keras_defaults.apply()
        keras.utils.set_random_seed(settings.seed)
        tf.config.experimental.enable_op_determinism()
        self.settings = settings
        self.batches = Batches(features, settings.batch_size, settings.seed, settings.memory_mb)
        self.network = build(settings.model, features.shape, features.classes)
        self._augmentation = augmentation(settings.model, features.shape)
        # XLA speeds up small dense steps. On a CPU it slows convolutions down, and dropout tenfold.
        compiled = settings.model.kind == "mlp" and not settings.model.dropout
        self._trainer = trainer(self.network, self._augmentation, compiled=compiled)
        steps = settings.epochs * self.batches.calls * self.batches.group
        optimizer = optimizers.build(settings.optimizer, steps)
        self._trainer.compile(optimizer=optimizer, loss=_loss(settings), metrics=["accuracy"], jit_compile=False)
        self._validation = self.batches.validation()
        self._trainer.test_on_batch(*next(iter(self._validation)))  # `fit` would build it on a whole group of batches
        self._trainer.optimizer.build(self._trainer.trainable_variables)
        self._path, self._best, self.history = checkpoint, list[Any](), list[Row]()
        if checkpoint.exists():
            self._restore(Checkpoint.load(checkpoint))

    def begin_with(self, saved_model: Path) -> bool:
        """True if a SavedModel of the line has the same layers; the network then has its weights."""
        before = self.network.get_weights()
        try:
            variables = tf.train.Checkpoint(network=self.network).read(str(saved_model / "variables" / "variables"))
            variables.assert_existing_objects_matched().expect_partial()
        except (ValueError, AssertionError):  # raised for another shape, and for another layer
            self.network.set_weights(before)
            return False
        return True

    def epochs(self, until: int) -> Iterator[Row]:
        """Trains up to epoch `until`, or until early stopping; yields a row once the epoch's checkpoint is written.

        Raises:
            Refused: the loss is not a finite number.
        """
        while len(self.history) < until and not self._stalled:
            epoch = len(self.history)
            fitted = self._trainer.fit(
                self.batches.epoch(epoch),
                validation_data=self._validation,
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,
                verbose=0,
            )
            row = {name: float(values[-1]) for name, values in fitted.history.items()}
            if not np.isfinite([row["loss"], row["val_loss"]]).all():
                rate = self.settings.optimizer.learning_rate
                raise Refused(
                    f"the loss is not a finite number in epoch {epoch + 1} of {self.settings.epochs}",
                    f"Lower train.optimizer.learning_rate (now {rate:g}), or check the data.",
                )
            self._add(row)
            yield row

    def finish(self) -> Row:
        """Sets the weights to keep and returns their row: the best with early stopping, otherwise the last."""
        if not self.settings.early_stopping:
            return self.history[-1]
        for variable, value in zip(self.network.variables, self._best, strict=True):
            variable.assign(value)
        return max(self.history, key=_accuracy)

    @property
    def _stalled(self) -> bool:
        """True if validation accuracy has not risen for as many epochs as early stopping allows."""
        stopping = self.settings.early_stopping
        if not stopping or len(self.history) <= stopping.patience:
            return False
        accuracies = [_accuracy(row) for row in self.history]
        return max(accuracies[-stopping.patience :]) <= max(accuracies[: -stopping.patience]) + stopping.min_delta

    def _variables(self) -> list[Any]:
        """All state of a training: weights, optimizer, and the random generators of dropout and augmentation."""
        random = self._augmentation.variables if self._augmentation else ()
        return [*self.network.variables, *self._trainer.optimizer.variables, *random]

    def _restore(self, checkpoint: Checkpoint) -> None:
        for variable, value in zip(self._variables(), checkpoint.variables, strict=True):
            variable.assign(value)
        self._best, self.history = checkpoint.best, checkpoint.history

    def _add(self, row: Row) -> None:
        if self.settings.early_stopping and (not self.history or _accuracy(row) > max(map(_accuracy, self.history))):
            self._best = [variable.numpy() for variable in self.network.variables]
        self.history.append(row)
        Checkpoint([variable.numpy() for variable in self._variables()], self._best, self.history).save(self._path)


def _accuracy(row: Row) -> float:
    return row["val_accuracy"]


def _loss(settings: Train) -> Any:
    if settings.loss == "categorical_crossentropy":
        return keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy()
