"""The served model: decoding, preprocessing and network behind its signatures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from etils import epy

from components._data import decoding
from schemas import compat, shard_reader
from schemas.artifacts import Features
from schemas.contract import Encoding
from schemas.errors import ConfigurationError, StoreError, last_line
from schemas.model_input import ModelInput

with epy.lazy_imports():
    import tensorflow as tf
    import tensorflow_transform as tft
    from google.protobuf import message
    from tensorflow.core.protobuf import saved_model_pb2

if TYPE_CHECKING:
    import keras


def check_signature(path: Path, classes: int, encoding: Encoding) -> None:
    """Checks that a served SavedModel has the signature that `save` writes, without running it.

    `encoding`: of the records that it will be given.

    Raises:
        StoreError: it cannot be read.
        ConfigurationError: its inputs, outputs, number of classes or encoding of images differ.
    """
    remedy = "Move that version away, or name another push.model."
    try:
        graphs = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs
        signature = graphs[0].signature_def["serving_default"]
    except (OSError, message.DecodeError, IndexError) as error:
        raise StoreError(f"the served model {path} cannot be loaded: {error}", remedy) from None
    inputs, shape = sorted(signature.inputs), signature.outputs["probabilities"].tensor_shape.dim
    if inputs != ["examples"] or not shape:
        outputs = ", ".join(sorted(name for name in signature.outputs if signature.outputs[name].name)) or "nothing"
        cause = f"the served model {path} takes {', '.join(inputs) or 'nothing'} and returns {outputs}"
        raise ConfigurationError(f"{cause}; expected are examples and probabilities", remedy)
    if shape[-1].size != classes:
        cause = f"the served model {path} has {shape[-1].size} classes; the contract has {classes}"
        raise ConfigurationError(cause, remedy)
    takes: Encoding = "encoded" if "bytes" in graphs[0].signature_def else "raw"
    if takes != encoding:
        cause = f"the served model {path} takes {takes} images; the contract says encoding={encoding}"
        raise ConfigurationError(cause, remedy)


def check_loadable(path: Path) -> None:
    """Checks that TensorFlow finds and reads the weights of a SavedModel at this very path.

    Raises:
        StoreError: it does not.
    """
    try:
        tf.train.load_checkpoint(str(path / "variables" / "variables")).get_variable_to_shape_map()
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        cause = f"TensorFlow cannot load the model from {path}: {last_line(error)}"
        raise StoreError(cause, "Name another serving directory. Nothing was pushed.") from error


def save(network: "keras.Model", features: Features, path: Path) -> None:
    """Writes a SavedModel. All signatures return `probabilities` float32 [batch, classes] and `class` int64 [batch].

    serving_default: `examples`, string [batch], serialized records; only the feature `image` is read.
    images: `images`, uint8 [batch, height, width], or [batch, height, width, channels] if there are several channels;
    of any one size, unless records hold exactly the model's input.
    bytes: `image_bytes`, string [batch], encoded images, if records hold encoded images.
    """
    model_input = features.model_input or ModelInput(features.shape, features.shape)
    module = tf.Module()
    module.network = network
    module.transform = tft.TFTransformOutput(str(features.path)).transform_features_layer()
    channels = features.shape[2]

    def classify(pixels: Any) -> dict[str, Any]:
        return predict(compat.to_bytes(pixels))

    def predict(images: Any) -> dict[str, Any]:
        probabilities = network(module.transform({"image": images})["image"], training=False)
        return {"probabilities": probabilities, "class": tf.argmax(probabilities, -1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serving_default(examples: Any) -> dict[str, Any]:
        parsed = tf.io.parse_example(examples, {"image": shard_reader.feature_spec()["image"]})
        return (
            predict(parsed["image"])
            if model_input.as_recorded
            else classify(decoding.pixels(parsed["image"], model_input))
        )

    size = features.shape[:2] if model_input.as_recorded else (None, None)
    shape = [None, *size] if channels == 1 else [None, *size, channels]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, "images")])
    def images(images: Any) -> dict[str, Any]:
        return classify(decoding.fitted(images[..., tf.newaxis] if channels == 1 else images, model_input))

    signatures = {"serving_default": serving_default, "images": images}
    if model_input.raw is None:

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
        def from_bytes(image_bytes: Any) -> dict[str, Any]:
            return classify(decoding.decoded(image_bytes, model_input))

        signatures["bytes"] = from_bytes
    tf.saved_model.save(module, str(path), signatures=signatures)
