"""The model as it is served: the transform graph and the network behind two signatures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from etils import epy

from schemas import example
from schemas.artifacts import Features

with epy.lazy_imports():
    import tensorflow as tf
    import tensorflow_transform as tft

if TYPE_CHECKING:
    import keras


def save(network: "keras.Model", features: Features, path: Path) -> None:
    """A SavedModel. Both signatures return `probabilities` float32 [batch, classes] and `class` int64 [batch].

    serving_default: `examples`, string [batch], serialized records; only their feature `image` is read.
    images: `images`, uint8 [batch, height, width], with channels at the end where there are several.
    """
    module = tf.Module()
    module.network = network
    module.transform = tft.TFTransformOutput(str(features.path)).transform_features_layer()
    height, width, channels = features.shape

    def classify(images: Any) -> dict[str, Any]:
        probabilities = network(module.transform({"image": images})["image"], training=False)
        return {"probabilities": probabilities, "class": tf.argmax(probabilities, -1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serving_default(examples: Any) -> dict[str, Any]:
        return classify(tf.io.parse_example(examples, {"image": example.feature_spec()["image"]})["image"])

    shape = [None, height, width] if channels == 1 else [None, height, width, channels]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, "images")])
    def images(images: Any) -> dict[str, Any]:
        return classify(example.to_bytes(images))

    tf.saved_model.save(module, str(path), signatures={"serving_default": serving_default, "images": images})
