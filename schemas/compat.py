"""Undocumented parts of TensorFlow. Canary tests: `tests/schemas/test_compat.py`."""

from etils import epy

with epy.lazy_imports():
    import tensorflow as tf


def to_bytes(images: "tf.Tensor") -> "tf.Tensor":
    """uint8 [batch, height, width, channels] as the records' string [batch], inside a TensorFlow graph.

    The inverse of `tf.io.decode_raw`, which TensorFlow lacks: a serialized tensor ends in its content, row after row.
    TensorFlow does not document that layout.
    """
    shape = tf.shape(images)
    count, size = shape[0], tf.reduce_prod(shape[1:])
    content = tf.io.serialize_tensor(images)
    first = tf.strings.length(content) - count * size
    return tf.strings.substr(content, first + tf.range(count) * size, tf.fill([count], size))
