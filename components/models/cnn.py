"""A small convolutional network: blocks of convolution, batch normalisation and pooling, then a dense layer."""

from etils import epy

from schemas.settings.train import Cnn

with epy.lazy_imports():
    import keras


def layers(settings: Cnn) -> "list[keras.layers.Layer]":
    """The layers between the input and the softmax."""
    hidden: list[keras.layers.Layer] = []
    for filters in settings.filters:
        hidden += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.Activation(settings.activation),
            keras.layers.MaxPooling2D(padding="same"),
            *_dropout(settings.dropout / 2),  # convolutions share weights and need less
        ]
    hidden += [keras.layers.Flatten(), keras.layers.Dense(settings.dense, activation=settings.activation)]
    return hidden + _dropout(settings.dropout)


def augmentation(settings: Cnn, shape: tuple[int, int, int]) -> "keras.layers.Layer | None":
    """Moves each training image by up to `shift` pixels in each direction; None if `shift` is 0."""
    if not settings.shift:
        return None
    share = (settings.shift / shape[0], settings.shift / shape[1])
    return keras.layers.RandomTranslation(*share, fill_mode="constant", interpolation="nearest")


def _dropout(rate: float) -> "list[keras.layers.Layer]":
    return [keras.layers.Dropout(rate)] if rate else []
