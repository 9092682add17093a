"""The served SavedModel: its signatures predict like the Keras model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.transform import transform
from schemas.artifacts import Verdict
from schemas.settings.train import Cnn, Train
from schemas.settings.transform import Transform
from tests.components import pictures
from tests.components.trainings import trained
from tests.conftest import folder_run


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """Examples and features of colour images with one-hot labels, and a CNN trained on them."""
    folder = tmp_path_factory.mktemp("colour")
    splits = {split: pictures.pictures(90, seed=seed) for seed, split in enumerate(("train", "validation", "test"))}
    examples, run = pictures.examples(folder / "examples", **splits), folder_run(folder / "transform")
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
    return examples, features, trained(features, cnn, folder_run(folder / "train"))


def predictions_of(model, examples):
    """(signature, probabilities, class) of both signatures on the test images."""
    loaded = tf.saved_model.load(str(model.path / "saved_model"))
    images = pictures.images(examples, "test")
    images = images[..., 0] if images.shape[-1] == 1 else images
    inputs = {
        "serving_default": {"examples": tf.constant(pictures.records(examples, "test"))},
        "images": {"images": tf.constant(images)},
    }
    for name, arguments in inputs.items():
        outputs = loaded.signatures[name](**arguments)
        assert set(outputs) == {"probabilities", "class"}
        yield outputs["probabilities"].numpy(), outputs["class"].numpy()


def expected(model, features, examples):
    """Predictions of the Keras model on the transformed images."""
    layer = tft.TFTransformOutput(str(features.path)).transform_features_layer()
    images = layer({"image": tf.constant(pictures.columns(examples, "test")["image"].tolist())})["image"]
    return keras.models.load_model(model.path / "model.keras").predict(images, verbose=0)


def test_both_signatures_predict_like_the_keras_model(model, features, few):
    by_record, by_image = predictions_of(model, few)
    np.testing.assert_array_equal(by_record[0], by_image[0])
    np.testing.assert_array_equal(by_record[1], by_image[1])
    np.testing.assert_allclose(by_record[0], expected(model, features, few), atol=1e-6)
    np.testing.assert_array_equal(by_record[1], by_record[0].argmax(1))
    np.testing.assert_allclose(by_record[0].sum(1), 1, atol=1e-5)


def test_both_signatures_of_a_colour_cnn_predict_like_the_keras_model(colour):
    examples, features, model = colour
    by_record, by_image = predictions_of(model, examples)
    np.testing.assert_array_equal(by_record[0], by_image[0])
    np.testing.assert_allclose(by_record[0], expected(model, features, examples), atol=1e-5)


def test_a_colour_cnn_learns_its_classes(colour):
    examples, _, model = colour
    (_, classes), _ = predictions_of(model, examples)
    assert (classes == pictures.columns(examples, "test")["label"]).mean() > 0.9


@pytest.mark.parametrize(("fixture", "shape"), [("model", [None, 28, 28]), ("colour", [None, 8, 10, 3])])
def test_signatures_have_the_documented_inputs_and_outputs(fixture, shape, request):
    value = request.getfixturevalue(fixture)
    model, classes = (value, 10) if fixture == "model" else (value[2], 3)
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
    record = pictures.records(few, "test")[0]
    image_only = tf.train.Example()
    image_only.features.feature["image"].CopyFrom(tf.train.Example.FromString(record).features.feature["image"])
    serve = tf.saved_model.load(str(model.path / "saved_model")).signatures["serving_default"]
    probabilities = serve(examples=tf.constant([record, image_only.SerializeToString()]))["probabilities"].numpy()
    # Rows of one batch can differ in the last bit.
    np.testing.assert_allclose(probabilities[0], probabilities[1], rtol=1e-6)
