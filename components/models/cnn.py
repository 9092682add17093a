"""A small convolutional network: blocks of convolution, batch normalisation and pooling, then a dense layer."""

from etils import epy

from schemas.settings.train import Cnn

with epy.lazy_imports():
    import keras

    from components.models import batch_norm


def layers(settings: Cnn) -> "list[keras.layers.Layer]":
    """The layers between the input and the softmax."""
    hidden: list[keras.layers.Layer] = []
    for filters in settings.filters:
        hidden += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            batch_norm.FusedBatchNormalization(momentum=settings.batch_norm_momentum),
            keras.layers.Activation(settings.activation),
            keras.layers.MaxPooling2D(padding="same"),
            *_dropout(settings.dropout / 2),  # convolutions share weights and need less
        ]
    pooled = keras.layers.Flatten() if settings.pooling == "flatten" else keras.layers.GlobalAveragePooling2D()
    hidden += [pooled, keras.layers.Dense(settings.dense, activation=settings.activation)]
    return hidden + _dropout(settings.dropout)


def augmentation(settings: Cnn, shape: tuple[int, int, int]) -> "keras.layers.Layer | None":
    """Random flip, zoom, and shift of up to `shift` pixels in each direction; None if none of them is set."""
    steps: list[keras.layers.Layer] = []
    if settings.flip:
        steps.append(keras.layers.RandomFlip("horizontal"))
    if settings.zoom:
        steps.append(keras.layers.RandomZoom(settings.zoom, fill_mode="nearest"))
    if settings.shift:
        share = (settings.shift / shape[0], settings.shift / shape[1])
        steps.append(keras.layers.RandomTranslation(*share, fill_mode="constant", interpolation="nearest"))
    return keras.Sequential(steps) if len(steps) > 1 else steps[0] if steps else None


def _dropout(rate: float) -> "list[keras.layers.Layer]":
    return [keras.layers.Dropout(rate)] if rate else []
