"""The model as it is served: the transform graph and the network behind two signatures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from etils import epy

from schemas import example
from schemas.artifacts import Features
from schemas.errors import ConfigurationError, StoreError

with epy.lazy_imports():
    import tensorflow as tf
    import tensorflow_transform as tft
    from google.protobuf import message
    from tensorflow.core.protobuf import saved_model_pb2

if TYPE_CHECKING:
    import keras


def check_signature(path: Path, classes: int) -> None:
    """Whether a SavedModel that is served answers in the form of `save`, found without running it.

    Raises:
        StoreError: it cannot be read.
        ConfigurationError: it answers in another form, or knows other classes.
    """
    remedy = "Move that version away, or name another push.model."
    try:
        graphs = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs
        signature = graphs[0].signature_def["serving_default"]
    except (OSError, message.DecodeError, IndexError) as error:
        raise StoreError(f"the served model {path} cannot be loaded: {error}", remedy) from None
    inputs, found = sorted(signature.inputs), signature.outputs["probabilities"].tensor_shape.dim
    if inputs != ["examples"] or not found:
        answers = ", ".join(sorted(name for name in signature.outputs if signature.outputs[name].name)) or "nothing"
        cause = f"the served model {path} takes {', '.join(inputs) or 'nothing'} and answers {answers}"
        raise ConfigurationError(f"{cause}; examples and probabilities were expected", remedy)
    if found[-1].size != classes:
        raise ConfigurationError(
            f"the served model {path} knows {found[-1].size} classes; the contract says {classes}", remedy
        )


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
