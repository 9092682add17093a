"""Reading images: decoded fast, and hashed by their pixels."""

import hashlib
from collections.abc import Callable

from etils import epy

with epy.lazy_imports():
    import imagecodecs
    import numpy as np
    import tensorflow as tf


def image_hash(image: "np.ndarray") -> int:
    """64 bits of the pixels: stable when data is added, and the same image never falls on both sides of a bound."""
    return int.from_bytes(hashlib.blake2b(image, digest_size=8).digest())


def decoder(channels: int) -> Callable[[bytes], "np.ndarray"]:
    """A function from an encoded image to uint8 [height, width, channels]; 0 channels: as many as it has.

    PNG goes the short way where it can: TensorFlow's decoder takes three times as long.
    """
    png_decode, other, uint8 = imagecodecs.spng_decode, imagecodecs.SpngError, np.dtype("uint8")

    def decode(content: bytes) -> "np.ndarray":
        if content.startswith(b"\x89PNG"):
            try:
                image: np.ndarray = png_decode(content)
            except other:
                return by_tensorflow(content)
            if image.ndim == 2:
                image = image[:, :, None]
            if image.dtype == uint8 and image.shape[2] == (channels or image.shape[2]):
                return image
        return by_tensorflow(content)

    def by_tensorflow(content: bytes) -> "np.ndarray":
        return np.asarray(tf.io.decode_image(content, channels, expand_animations=False))

    return decode
