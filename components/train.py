"""train: a Keras model, and the SavedModel that is served."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etils import epy

from components import _servable, models
from components._feed import Feed
from pipeline.component import Run, component
from schemas import example
from schemas.artifacts import Features, Hyperparameters, Model
from schemas.errors import Refused
from schemas.settings import EarlyStopping, Train

with epy.lazy_imports():
    import keras
    import matplotlib.figure
    import numpy as np
    import tensorflow as tf


@component
def train(features: Features, hyperparameters: Hyperparameters, *, run: Run) -> Model:
    """The trained classifier. Seeds and order are fixed: the same inputs give the same weights.

    A checkpoint is kept after each epoch; a training that was killed goes on from it.

    Raises:
        Refused: the loss is no longer a number.
    """
    settings = Train.model_validate_json((hyperparameters.path / "hyperparameters.json").read_text())
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    for _, path, count in features.shards():
        example.check(path, count)
    feed = Feed(features, settings.batch_size, settings.seed, settings.memory_mb)
    network = models.build(settings.model, features.shape, features.classes)
    # XLA makes small dense steps cheap. Its convolutions on a CPU are the slower ones, and so is, tenfold, its dropout.
    compiled = settings.model.kind == "mlp" and not settings.model.dropout
    trainer = _trainer(network, models.augmentation(settings.model, features.shape), compiled=compiled)
    trainer.compile(
        optimizer=models.optimizer(settings.optimizer, settings.epochs * feed.calls * feed.group),
        loss=_loss(settings),
        metrics=["accuracy"],
        jit_compile=False,
    )
    history = _fit(trainer, feed, settings, run)
    _servable.save(network, features, run.out / "saved_model")
    network.save(run.out / "model.keras")
    (run.out / "history.json").write_text(json.dumps(history, indent=2))
    _plot(history, run.out / "curves.svg")
    kept = max(history, key=lambda row: row["val_accuracy"]) if settings.early_stopping else history[-1]
    return Model(run.out, epochs=len(history), validation_accuracy=kept["val_accuracy"])


def _fit(trainer: Any, feed: Feed, settings: Train, run: Run) -> list[dict[str, float]]:
    """A row of loss, accuracy, val_loss and val_accuracy for each epoch; the trainer is left with the weights to keep."""
    validation = feed.validation()
    trainer.test_on_batch(*next(iter(validation)))  # builds it: `fit` would build it on a whole group of batches
    trainer.optimizer.build(trainer.trainable_variables)
    progress = _Progress.restored(run.scratch / "checkpoint.npz", trainer)
    if progress.history:
        run.say(f"resumed after epoch {len(progress.history)}")
    logs = tf.summary.create_file_writer(str(run.out / "logs"))
    _write_logs(logs, progress.history, 0)
    while len(progress.history) < settings.epochs and not progress.stalled(settings.early_stopping):
        epoch = len(progress.history)
        data = feed.epoch(epoch)
        fitted = trainer.fit(data, validation_data=validation, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=0)
        row = {name: float(values[-1]) for name, values in fitted.history.items()}
        if not np.isfinite([row["loss"], row["val_loss"]]).all():
            rate = settings.optimizer.learning_rate
            raise Refused(
                f"the loss is no longer a number in epoch {epoch + 1} of {settings.epochs}",
                f"Lower train.optimizer.learning_rate (now {rate:g}), or look at the data.",
            )
        progress.add(row, trainer, settings.early_stopping)
        _write_logs(logs, [row], epoch)
        run.say(
            f"epoch {epoch + 1}/{settings.epochs}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}"
            f"  validation {row['val_accuracy']:.4f}"
        )
    logs.close()
    if settings.early_stopping:
        progress.restore_best(trainer)
    return progress.history


@dataclass
class _Progress:
    """What a killed training needs to go on: all variables, the best weights so far, and the history."""

    path: Path
    history: list[dict[str, float]]
    best: list[Any]

    @classmethod
    def restored(cls, path: Path, trainer: Any) -> "_Progress":
        if not path.exists():
            return cls(path, [], [])
        with np.load(path, allow_pickle=False) as saved:
            state, best = ([saved[f"{kind}{i}"] for i in range(int(saved[f"{kind}s"]))] for kind in ("variable", "best"))
            for variable, value in zip(_variables(trainer), state, strict=True):
                variable.assign(value)
            return cls(path, json.loads(str(saved["history"])), best)

    def add(self, row: dict[str, float], trainer: Any, stopping: EarlyStopping | None) -> None:
        if stopping and (not self.history or row["val_accuracy"] > max(r["val_accuracy"] for r in self.history)):
            self.best = [v.numpy() for v in trainer.network.variables]
        self.history.append(row)
        state = {"variable": [v.numpy() for v in _variables(trainer)], "best": self.best}
        arrays = {f"{kind}{i}": value for kind, values in state.items() for i, value in enumerate(values)}
        sizes = {f"{kind}s": len(values) for kind, values in state.items()}
        temporary = self.path.with_suffix(".part")
        try:
            with temporary.open("wb") as file:
                np.savez(file, history=json.dumps(self.history), **sizes, **arrays)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)  # on a full disk half a checkpoint would stand in the way

    def stalled(self, stopping: EarlyStopping | None) -> bool:
        """No rise of validation accuracy for as many epochs as early stopping allows."""
        if not stopping or len(self.history) <= stopping.patience:
            return False
        seen = [row["val_accuracy"] for row in self.history]
        return max(seen[-stopping.patience :]) <= max(seen[: -stopping.patience]) + stopping.min_delta

    def restore_best(self, trainer: Any) -> None:
        for variable, value in zip(trainer.network.variables, self.best, strict=True):
            variable.assign(value)


def _variables(trainer: Any) -> list[Any]:
    """All state of a training: weights, optimizer, and the random generators of dropout and augmentation."""
    return [*trainer.network.variables, *trainer.optimizer.variables, *(trainer.augmentation.variables if trainer.augmentation else ())]


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


def _write_logs(writer: Any, rows: list[dict[str, float]], first: int) -> None:
    with writer.as_default():
        for epoch, row in enumerate(rows, first):
            for name, value in row.items():
                tf.summary.scalar(f"epoch_{name}", value, epoch)
    writer.flush()


def _plot(history: list[dict[str, float]], path: Path) -> None:
    """Loss and accuracy over the epochs, train and validation."""
    figure = matplotlib.figure.Figure(figsize=(8, 3), layout="constrained")
    epochs = range(1, len(history) + 1)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for prefix, label, colour in (("", "train", "#5b7fa6"), ("val_", "validation", "#c8763b")):
            axes.plot(epochs, [row[prefix + name] for row in history], label=label, color=colour, marker=".")
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": "gateline"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
