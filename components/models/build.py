"""Builds the network that a configuration names, and the augmentation of its training images.

network = build(Mlp(layers=[128, 64]), shape=(28, 28, 1), classes=10)   # float32 images -> probabilities
"""

from etils import epy

from components.models import cnn, mlp
from schemas.settings.train import Cnn, Mlp

with epy.lazy_imports():
    import keras


def build(settings: Mlp | Cnn, shape: tuple[int, int, int], classes: int) -> "keras.Sequential":
    """A network from float32 [batch, height, width, channels] to probabilities, float32 [batch, classes]."""
    hidden = mlp.layers(settings) if isinstance(settings, Mlp) else cnn.layers(settings)
    output = keras.layers.Dense(classes, activation="softmax")
    return keras.Sequential([keras.Input(shape), *hidden, output], name=settings.kind)


def augmentation(settings: Mlp | Cnn, shape: tuple[int, int, int]) -> "keras.layers.Layer | None":
    """The random augmentation of training images, or None. It is not part of the served network."""
    return cnn.augmentation(settings, shape) if isinstance(settings, Cnn) else None
