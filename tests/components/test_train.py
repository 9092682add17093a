"""train: a Keras model, and the SavedModel that is served."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components._training.batches import Batches
from components._training.training import Training
from components.train import train
from components.transform import transform
from schemas.artifacts import Served
from schemas.errors import Refused
from schemas.settings.train import Cnn, EarlyStopping, Mlp, Optimizer, Train
from schemas.settings.transform import Transform
from tests.components import bright, pictures
from tests.conftest import configured, lent

# A rate so high that the second epoch is worse than the first: the best weights are not the last ones.
DROPPING = Train(
    model=Mlp(layers=[16], dropout=0.3),
    optimizer=Optimizer(learning_rate=0.1),
    epochs=2,
    early_stopping=EarlyStopping(patience=3),
)


class Killed(BaseException):
    """As if the process ended here."""


def trained(features, settings, run):
    return train.function(features, configured(features, settings, run.out.parent / "tune"), run=run)


def weights(model):
    return keras.models.load_model(model.path / "model.keras").get_weights()


def history(model):
    return json.loads((model.path / "history.json").read_text(encoding="utf-8"))


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def kill_at(epoch, run):
    """The run is killed when it says that this epoch is done."""

    def say(text):
        if text.startswith(f"epoch {epoch}/"):
            raise Killed
        run.said.append(text)

    run.say = say
    return run


@pytest.fixture(scope="module")
def whole(features, tmp_path_factory):
    """A training that nothing interrupted, with dropout."""
    return trained(features, DROPPING, lent(tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """A CNN of colour images with one-hot labels, and its features and examples."""
    folder = tmp_path_factory.mktemp("colour")
    splits = {split: pictures.pictures(90, seed=seed) for seed, split in enumerate(("train", "validation", "test"))}
    examples, run = pictures.examples(folder / "examples", **splits), lent(folder / "transform")
    from schemas.artifacts import Verdict

    settings = Transform(scale="standardize", label="one_hot")
    features = transform.function(
        examples, Verdict(run.out, passed=True), contract=pictures.contract(), settings=settings, run=run
    )
    cnn = Train(
        model=Cnn(filters=[4], dense=8, dropout=0.1),
        epochs=8,
        loss="categorical_crossentropy",
        label_smoothing=0.1,
        batch_size=16,
    )
    return examples, features, trained(features, cnn, lent(folder / "train"))


def test_the_same_inputs_give_the_same_weights_to_the_bit(features, whole, lend):
    again = trained(features, DROPPING, lend())
    assert same(weights(again), weights(whole))
    assert history(again) == history(whole)
    assert (again.path / "curves.svg").read_bytes() == (whole.path / "curves.svg").read_bytes()


def test_a_training_killed_after_each_epoch_ends_with_the_weights_of_an_uninterrupted_one(features, whole, lend):
    scratch = lend().scratch
    for epoch in (1, 2):  # the second time goes on from the first; the third has nothing left to train
        run = lend()
        run.scratch = scratch
        with pytest.raises(Killed):
            trained(features, DROPPING, kill_at(epoch, run))
    again = lend()
    again.scratch = scratch
    resumed = trained(features, DROPPING, again)
    assert [text.split("  ")[0] for text in again.said] == ["resumed after epoch 2"]
    assert same(weights(resumed), weights(whole))
    assert history(resumed) == history(whole)


def test_early_stopping_keeps_the_best_weights(features, lend):
    # A rate that is far too high: accuracy goes up and down.
    settings = Train(
        model=Mlp(layers=[8]),
        optimizer=Optimizer(learning_rate=0.1),
        epochs=30,
        early_stopping=EarlyStopping(patience=2),
    )
    model = trained(features, settings, lend())
    seen = [row["val_accuracy"] for row in history(model)]
    assert model.validation_accuracy == max(seen)
    assert len(seen) == model.epochs == seen.index(max(seen)) + 1 + 2 < 30
    network = keras.models.load_model(model.path / "model.keras")
    images, labels = pictures.preprocessed(features, "validation")
    accuracy = (network.predict(images, verbose=0).argmax(1) == labels).mean()
    assert accuracy == pytest.approx(max(seen), abs=1e-6)
    assert accuracy > seen[-1]


def test_without_early_stopping_the_last_weights_are_kept(features, model):
    images, labels = pictures.preprocessed(features, "validation")
    accuracy = (
        keras.models.load_model(model.path / "model.keras").predict(images, verbose=0).argmax(1) == labels
    ).mean()
    assert accuracy == pytest.approx(history(model)[-1]["val_accuracy"], abs=1e-6)
    assert (model.epochs, model.validation_accuracy) == (5, history(model)[-1]["val_accuracy"])


NETWORKS = {
    "mlp": Mlp(layers=[16]),
    "dropout": Mlp(layers=[16], dropout=0.3),
    "cnn": Cnn(filters=[4], dense=8, dropout=0.2),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_warm_start_begins_with_the_served_weights(kind, features, lend):
    served = trained(features, Train(model=NETWORKS[kind], epochs=1), lend())
    begun = Training(features, Train(model=NETWORKS[kind], seed=2), lend().scratch / "checkpoint.npz")
    assert not same(begun.network.get_weights(), weights(served))
    assert begun.begin_with(served.path / "saved_model")
    assert same(begun.network.get_weights(), weights(served))


def test_a_network_of_other_layers_keeps_its_random_weights(features, lend, model):
    begun = Training(features, Train(model=NETWORKS["cnn"]), lend().scratch / "checkpoint.npz")
    fresh = begun.network.get_weights()
    assert not begun.begin_with(model.path / "saved_model")
    assert same(begun.network.get_weights(), fresh)


def test_the_log_says_which_weights_a_training_starts_from(features, lend, model):
    settings = Train(model=NETWORKS["mlp"], epochs=1)
    alike = trained(features, settings, lend())
    for served, words in (
        (alike, "from the weights of version 3"),
        (model, "from random weights: version 3 has other layers"),
    ):
        run = lend()
        start = Served(served.path / "saved_model", version=3)
        train.function(features, configured(features, settings, run.out.parent / "tune"), start, run=run)
        assert run.said[0] == f"starts {words}"


def test_a_batch_larger_than_the_split_is_the_split(features, lend):
    model = trained(features, Train(model=Mlp(layers=[4]), epochs=1, batch_size=100_000), lend())
    assert np.isfinite(history(model)[0]["loss"])


def test_a_loss_that_is_not_finite_is_refused(features, lend):
    settings = Train(model=Mlp(layers=[8]), optimizer=Optimizer(name="sgd", learning_rate=1e30), epochs=3)
    run = lend()
    with pytest.raises(Refused) as refused:
        trained(features, settings, run)
    assert refused.value.cause == "the loss is not a finite number in epoch 1 of 3"
    assert refused.value.remedy == "Lower train.optimizer.learning_rate (now 1e+30), or check the data."
    assert not (run.out / "saved_model").exists()
    assert not list(run.scratch.iterdir())  # nothing to go on from


def test_training_learns(model):
    rows = history(model)
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    assert model.validation_accuracy > 0.7


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
    first, again = ([images.numpy() for images, _ in streamed.epoch(3)] for _ in range(2))
    assert same(first, again)
    sums = [
        sorted(np.concatenate([i.numpy().reshape(-1, 784) for i, _ in feed.epoch(0)]).sum(1).tolist())
        for feed in feeds.values()
    ]
    np.testing.assert_allclose(*sums, rtol=1e-6)  # every image once, either way


def test_a_streamed_training_gives_the_same_weights_twice(large, lend):
    settings = Train(model=Mlp(layers=[16]), epochs=2, memory_mb=1)
    one, other = (trained(large, settings, lend()) for _ in range(2))
    assert same(weights(one), weights(other))
    assert history(one)[-1]["loss"] < history(one)[0]["loss"]


def answers(model, examples):
    """(signature, probabilities, class) of both signatures on the test images."""
    loaded = tf.saved_model.load(str(model.path / "saved_model"))
    images = pictures.images(examples, "test")
    images = images[..., 0] if images.shape[-1] == 1 else images
    given = {
        "serving_default": {"examples": tf.constant(pictures.records(examples, "test"))},
        "images": {"images": tf.constant(images)},
    }
    for name, arguments in given.items():
        found = loaded.signatures[name](**arguments)
        assert set(found) == {"probabilities", "class"}
        yield found["probabilities"].numpy(), found["class"].numpy()


def expected(model, features, examples):
    """What the Keras model says of the transformed images."""
    layer = tft.TFTransformOutput(str(features.path)).transform_features_layer()
    images = layer({"image": tf.constant(pictures.columns(examples, "test")["image"].tolist())})["image"]
    return keras.models.load_model(model.path / "model.keras").predict(images, verbose=0)


def test_both_signatures_answer_as_the_keras_model_does(model, features, few):
    by_record, by_image = answers(model, few)
    np.testing.assert_array_equal(by_record[0], by_image[0])
    np.testing.assert_array_equal(by_record[1], by_image[1])
    np.testing.assert_allclose(by_record[0], expected(model, features, few), atol=1e-6)
    np.testing.assert_array_equal(by_record[1], by_record[0].argmax(1))
    np.testing.assert_allclose(by_record[0].sum(1), 1, atol=1e-5)


def test_both_signatures_of_a_colour_cnn_answer_as_the_keras_model_does(colour):
    examples, features, model = colour
    by_record, by_image = answers(model, examples)
    np.testing.assert_array_equal(by_record[0], by_image[0])
    np.testing.assert_allclose(by_record[0], expected(model, features, examples), atol=1e-5)


def test_a_colour_cnn_learns_its_classes(colour):
    examples, _, model = colour
    (_, classes), _ = answers(model, examples)
    assert (classes == pictures.columns(examples, "test")["label"]).mean() > 0.9


@pytest.mark.parametrize(("which", "shape"), [("model", [None, 28, 28]), ("colour", [None, 8, 10, 3])])
def test_signatures_say_what_they_take_and_give(which, shape, request):
    found = request.getfixturevalue(which)
    model, classes = (found, 10) if which == "model" else (found[2], 3)
    signatures = tf.saved_model.load(str(model.path / "saved_model")).signatures
    assert set(signatures) == {"serving_default", "images"}
    assert signatures["images"].structured_input_signature[1] == {"images": tf.TensorSpec(shape, tf.uint8, "images")}
    assert signatures["serving_default"].structured_input_signature[1] == {
        "examples": tf.TensorSpec([None], tf.string, "examples")
    }
    for signature in signatures.values():
        outputs = signature.structured_outputs
        assert (outputs["probabilities"].shape.as_list(), outputs["probabilities"].dtype) == (
            [None, classes],
            tf.float32,
        )
        assert (outputs["class"].shape.as_list(), outputs["class"].dtype) == ([None], tf.int64)


def test_serving_reads_only_the_image_of_a_record(model, few):
    whole = pictures.records(few, "test")[0]
    bare = tf.train.Example()
    bare.features.feature["image"].CopyFrom(tf.train.Example.FromString(whole).features.feature["image"])
    serve = tf.saved_model.load(str(model.path / "saved_model")).signatures["serving_default"]
    found = serve(examples=tf.constant([whole, bare.SerializeToString()]))["probabilities"].numpy()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)  # rows of one batch may differ in the last bit


def test_curves_and_logs_hold_the_history(model):
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
