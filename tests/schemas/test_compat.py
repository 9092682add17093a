"""Canary for the undocumented part of TensorFlow that images are serialized with."""

import numpy as np
import pytest
import tensorflow as tf

from schemas import compat


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 2, 5, 3), (200, 28, 28, 1), (0, 4, 4, 3)])
def test_tensorflow_serializes_a_tensor_with_its_content_last(shape):
    images = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    advice = "TensorFlow changed the layout of tf.io.serialize_tensor: cut the content out of it in schemas/compat.py"
    content = tf.io.serialize_tensor(tf.constant(images)).numpy()
    assert content.endswith(images.tobytes()), advice
    records = tf.function(compat.to_bytes)(tf.constant(images))
    assert records.shape == shape[:1]
    decoded = [np.frombuffer(record, np.uint8).reshape(shape[1:]) for record in records.numpy()]
    assert np.array_equal(np.reshape(decoded, shape), images), advice
