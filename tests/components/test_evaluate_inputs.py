"""evaluate: unusable served models and test splits are refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components._training import saved_model
from schemas.artifacts import Served
from schemas.errors import ConfigurationError, DataError, StoreError
from tests.components import pictures
from tests.components.evaluations import evaluated


def test_an_unreadable_served_model_is_refused_before_the_evaluation(model, few, mnist, tmp_path, new_run):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff not a model")
    run = new_run()
    with pytest.raises(StoreError, match=f"the served model {tmp_path} cannot be loaded"):
        evaluated(model, few, run, mnist, baseline=Served(tmp_path, digest="x", version=1))
    assert pictures.contents(run.out) == {}


def test_a_served_model_with_other_signatures_is_refused(model, few, mnist, tmp_path, new_run):
    module = tf.Module()
    module.f = tf.function(lambda x: {"scores": 2 * x}, input_signature=[tf.TensorSpec([None, 3], name="x")])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    with pytest.raises(ConfigurationError, match="takes x and returns scores; expected are examples and probabilities"):
        evaluated(model, few, new_run(), mnist, baseline=Served(tmp_path, digest="x", version=1))


def test_a_served_model_with_other_classes_is_refused(model, few, new_run):
    five_classes = pictures.contract((28, 28, 1), 5)
    with pytest.raises(ConfigurationError, match="has 10 classes; the contract has 5"):
        evaluated(
            model, few, new_run(), five_classes, baseline=Served(model.path / "saved_model", digest="x", version=1)
        )


def test_a_completely_leaked_test_split_is_refused(model, few, mnist, new_run):
    index = pictures.columns(few, "test")["source/index"].tolist()
    with pytest.raises(DataError, match="every test image is also in train or validation"):
        evaluated(model, few, new_run(), mnist, leaked=index)


def test_a_served_model_no_better_than_guessing_is_refused(model, few, features, mnist, tmp_path, new_run):
    """With its labels in another order it is wrong on nearly all images: any candidate would be better."""
    network = keras.models.load_model(model.path / "model.keras")
    *earlier_weights, kernel, bias = network.get_weights()
    network.set_weights([*earlier_weights, np.roll(kernel, 1, axis=1), np.roll(bias, 1)])
    saved_model.save(network, features, tmp_path / "1")
    with pytest.raises(
        ConfigurationError,
        match="is no better than guessing on these test images: its labels differ, or their order does",
    ):
        evaluated(model, few, new_run(), mnist, baseline=Served(tmp_path / "1", digest="x", version=1))
