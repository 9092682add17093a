"""evaluate: served models and test splits that cannot be used are refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components._training import saved_model
from schemas.artifacts import Served
from schemas.errors import ConfigurationError, DataError, StoreError
from tests.components import pictures
from tests.components.evaluations import evaluated


def test_a_served_model_that_cannot_be_read_stops_before_anything_is_evaluated(model, few, mnist, tmp_path, lend):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff not a model")
    run = lend()
    with pytest.raises(StoreError, match=f"the served model {tmp_path} cannot be loaded"):
        evaluated(model, few, run, mnist, baseline=Served(tmp_path, digest="x", version=1))
    assert pictures.contents(run.out) == {}


def test_a_served_model_of_another_form_is_named(model, few, mnist, tmp_path, lend):
    module = tf.Module()
    module.f = tf.function(lambda x: {"scores": 2 * x}, input_signature=[tf.TensorSpec([None, 3], name="x")])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    with pytest.raises(ConfigurationError, match="takes x and returns scores; expected are examples and probabilities"):
        evaluated(model, few, lend(), mnist, baseline=Served(tmp_path, digest="x", version=1))


def test_a_served_model_of_other_classes_is_named(model, few, lend):
    five = pictures.contract((28, 28, 1), 5)
    with pytest.raises(ConfigurationError, match="has 10 classes; the contract has 5"):
        evaluated(model, few, lend(), five, baseline=Served(model.path / "saved_model", digest="x", version=1))


def test_a_test_split_that_leaked_as_a_whole_stops_the_line(model, few, mnist, lend):
    index = pictures.columns(few, "test")["source/index"].tolist()
    with pytest.raises(DataError, match="every test image is also in train or validation"):
        evaluated(model, few, lend(), mnist, leaked=index)


def test_a_served_model_that_only_guesses_is_no_baseline(model, few, features, mnist, tmp_path, lend):
    """Its labels in another order, it is wrong on nearly all: any candidate would beat it."""
    network = keras.models.load_model(model.path / "model.keras")
    *before, kernel, bias = network.get_weights()
    network.set_weights([*before, np.roll(kernel, 1, axis=1), np.roll(bias, 1)])
    saved_model.save(network, features, tmp_path / "1")
    with pytest.raises(
        ConfigurationError,
        match="is no better than guessing on these test images: its labels differ, or their order does",
    ):
        evaluated(model, few, lend(), mnist, baseline=Served(tmp_path / "1", digest="x", version=1))
