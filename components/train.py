"""train: trains a Keras model and saves it as the SavedModel that is served."""

from pathlib import Path
from typing import Any

from etils import epy

from components._training import fingerprint, memory, saved_model
from components._training.training import Training
from pipeline.engine.component import StageRun, component
from schemas import shard_reader
from schemas.artifacts import Features, Hyperparameters, Model, Served

with epy.lazy_imports():
    import matplotlib.figure
    import tensorflow as tf

    from components.models import batch_norm


@component
def train(features: Features, hyperparameters: Hyperparameters, start: Served | None = None, *, run: StageRun) -> Model:
    """The trained classifier. Seeds and order are fixed: the same inputs give the same weights.

    Training starts from the weights of `start` if its layers are the same. A checkpoint is written after each epoch; a
    killed training resumes from it.

    Raises:
        Refused: the loss is not a finite number.
    """
    settings = hyperparameters.settings()
    shard_reader.check((path, count) for _, path, count in features.shards())
    training = Training(features, settings, run.scratch / "checkpoint.npz")
    history = training.history
    if start and not history:
        if training.begin_with(start.path):
            run.log(f"starts from the weights of version {start.version}")
        else:
            run.log(f"starts from random weights: version {start.version} has other layers")
    if history:
        run.log(f"resumed after epoch {len(history)}")
    logs = tf.summary.create_file_writer(str(run.out / "logs"))
    _write_logs(logs, history, 0)
    for row in training.epochs(settings.epochs):
        _write_logs(logs, [row], len(history) - 1)
        run.log(
            f"epoch {len(history)}/{settings.epochs}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}"
            f"  validation {row['val_accuracy']:.4f}"
        )
    logs.close()
    kept = training.finish()
    network = batch_norm.unfused(training.network)
    saved_model.save(network, features, run.out / "saved_model")
    network.save(run.out / "model.keras")
    Model.write_history(run.out, history)
    _plot(history, run.out / "curves.svg")
    identity = fingerprint.of(run.out / "saved_model")
    del training, network
    memory.release()
    return Model(run.out, epochs=len(history), validation_accuracy=kept["val_accuracy"], identity=identity)


def _write_logs(writer: Any, rows: list[dict[str, float]], first: int) -> None:
    with writer.as_default():
        for epoch, row in enumerate(rows, first):
            for name, value in row.items():
                tf.summary.scalar(f"epoch_{name}", value, epoch)
    writer.flush()


def _plot(history: list[dict[str, float]], path: Path) -> None:
    """Plots loss and accuracy of train and validation over the epochs."""
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
