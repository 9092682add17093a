"""A model's identity: the same for models that compute the same, another for any that does not."""

import numpy as np
import pytest
import tensorflow as tf

from components._training import fingerprint
from components.train import train
from schemas.files import digest, listing
from schemas.settings.train import Mlp, Train
from tests.conftest import configured, lent

VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


def saved(path, *, values=VALUES, act=tf.nn.relu, swap=False, answer="scores", name="weights"):
    """A SavedModel of one layer; `name` is what TensorFlow calls its variable."""
    module = tf.Module()
    module.weights, module.bias = tf.Variable(values, name=name), tf.Variable(np.float32([1, 2]), name=f"{name}_too")

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "images")])
    def serve(images):
        left, right = (module.bias, images @ module.weights)
        return {answer: act(left - right if swap else right - left)}

    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return fingerprint.of(saved(tmp_path_factory.mktemp("plain")))


def test_names_and_what_was_made_before_do_not_count(plain, tmp_path):
    tf.function(lambda x: x + 1)(tf.constant(1.0))  # functions are numbered: this one takes a number
    assert fingerprint.of(saved(tmp_path / "again", name="other")) == plain


@pytest.mark.parametrize(
    "options",
    [
        {"values": VALUES + np.float32(1e-6)},
        {"values": VALUES[::-1].copy()},
        {"act": tf.nn.tanh},
        {"swap": True},
        {"answer": "other"},
    ],
    ids=["a weight", "their order", "the activation", "the order of operands", "the name of the answer"],
)
def test_whatever_changes_an_answer_counts(plain, tmp_path, options):
    assert fingerprint.of(saved(tmp_path / "other", **options)) != plain


def test_two_trainings_of_the_same_settings_differ_in_bytes_and_are_the_same_model(features, tmp_path):
    settings = Train(model=Mlp(layers=[8]), epochs=1)
    tuned = configured(features, settings, tmp_path / "tune")
    one, two = (train.function(features, tuned, run=lent(tmp_path / name)) for name in ("one", "two"))
    assert digest(listing(one.path / "saved_model")) != digest(listing(two.path / "saved_model"))
    assert one.identity == two.identity
    seed = configured(features, settings.model_copy(update={"seed": 2}), tmp_path / "seed")
    assert train.function(features, seed, run=lent(tmp_path / "three")).identity != one.identity
