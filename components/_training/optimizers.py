"""Keras optimizers by the names that a configuration uses."""

from etils import epy

from schemas.settings.train import Optimizer

with epy.lazy_imports():
    import keras


def build(settings: Optimizer, steps: int) -> "keras.optimizers.Optimizer":
    """The optimizer for a training of `steps` steps in all; a cosine schedule reaches 0 at the last one."""
    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    rate = settings.learning_rate
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps) if settings.schedule == "cosine" else rate
    momentum = {"momentum": settings.momentum} if settings.name in ("sgd", "rmsprop") else {}
    return kinds[settings.name](learning_rate=schedule, **momentum)
