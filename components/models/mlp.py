"""A multilayer perceptron: flatten, dense layers."""

from etils import epy

from schemas.settings.train import Mlp

with epy.lazy_imports():
    import keras


def layers(settings: Mlp) -> "list[keras.layers.Layer]":
    """The layers between the input and the softmax."""
    hidden: list[keras.layers.Layer] = [keras.layers.Flatten()]
    for units in settings.layers:
        hidden.append(keras.layers.Dense(units, activation=settings.activation))
        if settings.dropout:
            hidden.append(keras.layers.Dropout(settings.dropout))
    return hidden
