"""train: reproducible and resumable weights, early stopping, refused losses, curves and logs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from schemas.errors import Refused
from schemas.settings.train import EarlyStopping, Mlp, Optimizer, Train
from tests.components import pictures
from tests.components.trainings import history, same, trained, weights
from tests.conftest import folder_run

# The learning rate is so high that the second epoch is worse than the first: the best weights are not the last.
WORSE_SECOND_EPOCH = Train(
    model=Mlp(layers=[16], dropout=0.3),
    optimizer=Optimizer(learning_rate=0.1),
    epochs=2,
    early_stopping=EarlyStopping(patience=3),
)


class Killed(BaseException):
    """Simulates a killed process."""


def killed_at(epoch, run):
    """Kills the run when it reports the end of this epoch."""

    def log(text):
        if text.startswith(f"epoch {epoch}/"):
            raise Killed
        run.logged.append(text)

    run.log = log
    return run


@pytest.fixture(scope="module")
def uninterrupted(features, tmp_path_factory):
    """An uninterrupted training with dropout."""
    return trained(features, WORSE_SECOND_EPOCH, folder_run(tmp_path_factory.mktemp("whole")))


def test_training_is_reproducible(features, uninterrupted, new_run):
    repeated = trained(features, WORSE_SECOND_EPOCH, new_run())
    assert same(weights(repeated), weights(uninterrupted))
    assert history(repeated) == history(uninterrupted)
    assert (repeated.path / "curves.svg").read_bytes() == (uninterrupted.path / "curves.svg").read_bytes()


def test_a_training_killed_after_each_epoch_ends_with_the_same_weights(features, uninterrupted, new_run):
    scratch = new_run().scratch
    for epoch in (1, 2):  # the second run resumes the first; the third has nothing left to train
        run = new_run()
        run.scratch = scratch
        with pytest.raises(Killed):
            trained(features, WORSE_SECOND_EPOCH, killed_at(epoch, run))
    last_run = new_run()
    last_run.scratch = scratch
    resumed = trained(features, WORSE_SECOND_EPOCH, last_run)
    assert [text.split("  ")[0] for text in last_run.logged] == ["resumed after epoch 2"]
    assert same(weights(resumed), weights(uninterrupted))
    assert history(resumed) == history(uninterrupted)


def test_early_stopping_keeps_the_best_weights(features, new_run):
    # A learning rate that is far too high: accuracy oscillates.
    settings = Train(
        model=Mlp(layers=[8]),
        optimizer=Optimizer(learning_rate=0.1),
        epochs=30,
        early_stopping=EarlyStopping(patience=2),
    )
    model = trained(features, settings, new_run())
    accuracies = [row["val_accuracy"] for row in history(model)]
    assert model.validation_accuracy == max(accuracies)
    assert len(accuracies) == model.epochs == accuracies.index(max(accuracies)) + 1 + 2 < 30
    network = keras.models.load_model(model.path / "model.keras")
    images, labels = pictures.preprocessed(features, "validation")
    accuracy = (network.predict(images, verbose=0).argmax(1) == labels).mean()
    assert accuracy == pytest.approx(max(accuracies), abs=1e-6)
    assert accuracy > accuracies[-1]


def test_without_early_stopping_the_last_weights_are_kept(features, model):
    images, labels = pictures.preprocessed(features, "validation")
    accuracy = (
        keras.models.load_model(model.path / "model.keras").predict(images, verbose=0).argmax(1) == labels
    ).mean()
    assert accuracy == pytest.approx(history(model)[-1]["val_accuracy"], abs=1e-6)
    assert (model.epochs, model.validation_accuracy) == (5, history(model)[-1]["val_accuracy"])


def test_a_batch_size_larger_than_the_split_is_reduced(features, new_run):
    model = trained(features, Train(model=Mlp(layers=[4]), epochs=1, batch_size=100_000), new_run())
    assert np.isfinite(history(model)[0]["loss"])


def test_a_loss_that_is_not_finite_is_refused(features, new_run):
    settings = Train(model=Mlp(layers=[8]), optimizer=Optimizer(name="sgd", learning_rate=1e30), epochs=3)
    run = new_run()
    with pytest.raises(Refused) as refused:
        trained(features, settings, run)
    assert refused.value.cause == "the loss is not a finite number in epoch 1 of 3"
    assert refused.value.remedy == "Lower train.optimizer.learning_rate (now 1e+30), or check the data."
    assert not (run.out / "saved_model").exists()
    assert not list(run.scratch.iterdir())  # nothing to resume from


def test_training_reduces_the_loss(model):
    rows = history(model)
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    assert model.validation_accuracy > 0.7


def test_curves_and_logs_contain_the_history(model):
    rows = history(model)
    assert [set(row) for row in rows] == [{"loss", "accuracy", "val_loss", "val_accuracy"}] * 5
    svg = (model.path / "curves.svg").read_text(encoding="utf-8")
    assert svg.rstrip().endswith("</svg>")
    assert svg.count("<path") > 4
    logs = EventAccumulator(str(model.path / "logs"))
    logs.Reload()
    for name in rows[0]:
        tensors = logs.Tensors(f"epoch_{name}")
        assert [event.step for event in tensors] == list(range(5))
        assert [float(tf.make_ndarray(event.tensor_proto)) for event in tensors] == pytest.approx(
            [row[name] for row in rows]
        )
