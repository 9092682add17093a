"""Reading images: decoded fast, and hashed by their pixels."""

import hashlib
import io
import math
import struct
from collections.abc import Callable

from etils import epy

from schemas.errors import DataError

with epy.lazy_imports():
    import imagecodecs
    import numpy as np
    import PIL.Image
    import tensorflow as tf

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
MOST = 2**26  # pixels of an image
EXIF = 4096  # bytes in which an encoded image states that it has EXIF data
ORIENTATION = 0x0112


def image_hash(image: "np.ndarray") -> int:
    """64 bits of the pixels: stable when data is added, and the same image never falls on both sides of a bound."""
    return int.from_bytes(hashlib.blake2b(image, digest_size=8).digest())


def stated_pixels(content: bytes) -> int:
    """Number of pixels stated in the header of an encoded image: a PNG of 400 KB can decode to a gigabyte.

    0 for BMP, whose file is as long as its pixels, and for WebP, whose sides have 14 bits. Not with Pillow: it needs
    8 us instead of 0.2 us for a PNG, and does not know frames larger than the GIF's screen until it has decoded them.

    Raises:
        Exception: the header states no size. TensorFlow and `struct` raise many types.
    """
    if content.startswith(b"\x89PNG"):
        return math.prod(struct.unpack_from(">II", content, 16))
    if content.startswith(b"\xff\xd8"):
        height, width, _ = tf.io.extract_jpeg_shape(content).numpy().tolist()
        return int(height * width)
    return _pixels_of_gif(content) if content.startswith(b"GIF") else 0


def _pixels_of_gif(content: bytes) -> int:
    """The pixels of all frames: TensorFlow decodes all of them to return the first."""
    palette = lambda flags: 3 << (flags & 7) + 1 if flags & 128 else 0  # noqa: E731
    pixels, at = 0, 13 + palette(content[10])
    while at + 10 < len(content) and content[at] in b"!,":  # an extension, a frame
        if content[at] == ord(","):
            pixels += math.prod(struct.unpack_from("<HH", content, at + 5))
            at += 11 + palette(content[at + 9])
        else:
            at += 2
        while at < len(content) and content[at]:  # blocks, until an empty one
            at += 1 + content[at]
        at += 1
    return max(pixels, math.prod(struct.unpack_from("<HH", content, 6)))


def upright(image: "np.ndarray", content: bytes) -> "np.ndarray":
    """The image turned and mirrored as the EXIF orientation of its encoded form states, 1 to 8 (TIFF 6.0, 274)."""
    with PIL.Image.open(io.BytesIO(content)) as encoded:
        orientation = encoded.getexif().get(ORIENTATION, 1)
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def decoder(channels: int) -> Callable[[bytes], "np.ndarray"]:
    """A function from an encoded image to uint8 [height, width, channels]; 0 channels: as in the file.

    Images are upright: their EXIF orientation is applied. Plain PNG is decoded by libspng: TensorFlow's decoder takes
    three times as long.
    """
    png_decode, other, uint8 = imagecodecs.spng_decode, imagecodecs.SpngError, np.dtype("uint8")

    def decode(content: bytes) -> "np.ndarray":
        image = as_stored(content)
        return upright(image, content) if b"Exif\0\0" in content[:EXIF] or b"eXIf" in content[:EXIF] else image

    def as_stored(content: bytes) -> "np.ndarray":
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


def decoded(decode: Callable[[bytes], "np.ndarray"], content: bytes, name: str, remedy: str = "") -> "np.ndarray":
    """The image `name`, by a `decoder`. The header's size is checked first.

    Raises:
        DataError: it cannot be decoded, or has more than `MOST` pixels.
    """
    try:
        if (pixels := stated_pixels(content)) <= MOST:
            return decode(content)
    except Exception as error:  # TensorFlow and libpng raise many types
        raise DataError(f"{name} cannot be decoded as an image", remedy) from error
    raise DataError(f"{name} holds an image of {pixels:,} pixels; {MOST:,} are allowed", remedy)
