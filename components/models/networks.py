"""Keras builders of the architectures that a profile may name.

network = build(Mlp(layers=[128, 64]), shape=(28, 28, 1), classes=10)   # float32 images -> probabilities
"""

from etils import epy

from schemas.settings.train import Cnn, Mlp, Optimizer

with epy.lazy_imports():
    import keras


def build(settings: Mlp | Cnn, shape: tuple[int, int, int], classes: int) -> "keras.Sequential":
    """float32 [batch, height, width, channels] to probabilities [batch, classes]."""
    layers = mlp(settings) if isinstance(settings, Mlp) else cnn(settings)
    return keras.Sequential(
        [keras.Input(shape), *layers, keras.layers.Dense(classes, activation="softmax")], name=settings.kind
    )


def augmentation(settings: Mlp | Cnn, shape: tuple[int, int, int]) -> "keras.layers.Layer | None":
    """What training alone does to images: move each by up to `shift` pixels each way. It is no part of the network."""
    if isinstance(settings, Mlp) or not settings.shift:
        return None
    share = (settings.shift / shape[0], settings.shift / shape[1])
    return keras.layers.RandomTranslation(*share, fill_mode="constant", interpolation="nearest")


def mlp(settings: Mlp) -> "list[keras.layers.Layer]":
    layers: list[keras.layers.Layer] = [keras.layers.Flatten()]
    for units in settings.layers:
        layers.append(keras.layers.Dense(units, activation=settings.activation))
        layers += _dropout(settings.dropout)
    return layers


def cnn(settings: Cnn) -> "list[keras.layers.Layer]":
    layers: list[keras.layers.Layer] = []
    for filters in settings.filters:
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.Activation(settings.activation),
            keras.layers.MaxPooling2D(padding="same"),
            *_dropout(settings.dropout / 2),  # convolutions share weights and want less
        ]
    return [
        *layers,
        keras.layers.Flatten(),
        keras.layers.Dense(settings.dense, activation=settings.activation),
        *_dropout(settings.dropout),
    ]


def _dropout(rate: float) -> "list[keras.layers.Layer]":
    return [keras.layers.Dropout(rate)] if rate else []


def optimizer(settings: Optimizer, steps: int) -> "keras.optimizers.Optimizer":
    """The optimizer; `steps` in the whole training, at the end of which a cosine schedule reaches 0."""
    rate = settings.learning_rate
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps) if settings.schedule == "cosine" else rate
    momentum = {"momentum": settings.momentum} if settings.name in ("sgd", "rmsprop") else {}
    kinds = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}
    made: keras.optimizers.Optimizer = getattr(keras.optimizers, kinds[settings.name])(
        learning_rate=schedule, **momentum
    )
    return made
