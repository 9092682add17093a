"""Canary for the private part of Keras that training uses."""

import inspect

import keras

from components._training import compat


def test_keras_reports_the_loss_through_its_loss_tracker():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    source = inspect.getsource(keras.Model.get_metrics_result) + inspect.getsource(type(model).train_step)
    advice = "Keras changed how `train_step` reports the loss: adapt components/_training/compat.py"
    assert "_loss_tracker" in source, advice
    for loss, images in ((1.0, 3), (5.0, 1)):
        compat.add_to_mean_loss(model, loss, images)
    assert float(model.get_metrics_result()["loss"]) == 2.0, advice
