"""A model's identity: equal exactly for models that compute the same function."""

import numpy as np
import pytest
import tensorflow as tf

from components._training import fingerprint
from components.train import train
from schemas.files import digest, listing
from schemas.settings.train import Mlp, Train
from tests.conftest import configured, folder_run

VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


def saved(path, *, values=VALUES, activation=tf.nn.relu, swapped=False, answer="scores", name="weights"):
    """A SavedModel of one layer; `name` is the name of its variable."""
    module = tf.Module()
    module.weights, module.bias = tf.Variable(values, name=name), tf.Variable(np.float32([1, 2]), name=f"{name}_too")

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "images")])
    def serve(images):
        left, right = (module.bias, images @ module.weights)
        return {answer: activation(left - right if swapped else right - left)}

    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})
    return path


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return fingerprint.of(saved(tmp_path_factory.mktemp("plain")))


def test_names_and_earlier_functions_do_not_change_the_fingerprint(reference, tmp_path):
    tf.function(lambda x: x + 1)(tf.constant(1.0))  # functions are numbered: this one uses a number
    assert fingerprint.of(saved(tmp_path / "again", name="other")) == reference


@pytest.mark.parametrize(
    "options",
    [
        {"values": VALUES + np.float32(1e-6)},
        {"values": VALUES[::-1].copy()},
        {"activation": tf.nn.tanh},
        {"swapped": True},
        {"answer": "other"},
    ],
    ids=["a weight", "their order", "the activation", "the order of operands", "the name of the answer"],
)
def test_every_change_of_the_function_changes_the_fingerprint(reference, tmp_path, options):
    assert fingerprint.of(saved(tmp_path / "other", **options)) != reference


@pytest.mark.slow
def test_two_trainings_with_equal_settings_have_the_same_identity(features, tmp_path):
    settings = Train(model=Mlp(layers=[8]), epochs=1)
    tuned = configured(features, settings, tmp_path / "tune")
    one, two = (train.function(features, tuned, run=folder_run(tmp_path / name)) for name in ("one", "two"))
    assert digest(listing(one.path / "saved_model")) != digest(listing(two.path / "saved_model"))
    assert one.identity == two.identity
    seed = configured(features, settings.model_copy(update={"seed": 2}), tmp_path / "seed")
    assert train.function(features, seed, run=folder_run(tmp_path / "three")).identity != one.identity
