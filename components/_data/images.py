"""Reading images: decoded fast, and hashed by their pixels."""

import contextlib
import functools
import hashlib
import math
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from etils import epy

from components._data import decoding
from components._data.decoding import HEAD
from schemas.contract import Encoding
from schemas.errors import DataError

with epy.lazy_imports():
    import imagecodecs
    import numpy as np
    import tensorflow as tf

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
MAX_PIXELS = 2**26  # of an image
LARGE = 2**24  # pixels of an image that is decoded alone, so that memory does not grow with the number of threads
NO_SIZE = (0xC4, 0xC8, 0xCC)  # markers of JPEG among those of frames, C0 to CF, that start no frame
_alone, _building = threading.Lock(), threading.Lock()


class Examined(NamedTuple):
    """What is known of an encoded image once it has been decoded."""

    shape: tuple[int, ...]  # (height, width, channels) of the upright image
    hash: int  # 64 bits of the pixels as they are stored (FarmHash Fingerprint64)


def image_hash(image: "np.ndarray | Examined") -> int:
    """64 bits of the pixels: stable when data is added, and the same image never falls on both sides of a bound.

    BLAKE2b of raw pixels. For photos it would take as long as decoding them, so that of `Examined` is a faster one.
    """
    if isinstance(image, Examined):
        return image.hash
    return int.from_bytes(hashlib.blake2b(image.data, digest_size=8).digest())


def examine(contents: Sequence[bytes]) -> "list[Examined] | None":
    """Decodes images, and keeps no pixels. None if one of them cannot be decoded, or is too large.

    Threads may call it at the same time. In one graph, so that neither Python's lock nor a call for each image slows
    it down.
    """
    try:
        # TensorFlow checks the size that the header of a JPEG states.
        if any(not content.startswith(b"\xff\xd8") and stated_pixels(content) > MAX_PIXELS for content in contents):
            return None
        with _building:
            function = _examine()
        with _alone if any(map(_is_large, contents)) else contextlib.nullcontext():
            shapes, hashes = function(tf.constant(contents, tf.string))
    except Exception:  # TensorFlow and `struct` raise many types
        return None
    return [Examined(tuple(shape), hash) for shape, hash in zip(shapes.numpy().tolist(), _numbers(hashes), strict=True)]


def examine_one(content: bytes, name: str, remedy: str = "") -> Examined:
    """The same for one image.

    Raises:
        DataError: it cannot be decoded, or has more than `MAX_PIXELS`.
    """
    if (examined := examine([content])) is None:
        decoded(decoder(0, "encoded"), content, name, remedy)  # raises with the reason
        raise DataError(f"{name} cannot be decoded as an image", remedy)
    return examined[0]


def _numbers(hashes: Any) -> list[int]:
    numbers: list[int] = hashes.numpy().view("<u8")[:, 0].tolist()
    return numbers


@functools.cache
def _examine() -> Any:
    """A function from images, string [batch], to int32 [batch, 3] and uint8 [batch, 8]. Fails for the first bad one."""

    def one(content: Any) -> Any:
        is_jpeg = tf.strings.substr(content, 0, 2) == b"\xff\xd8"
        size = tf.cond(is_jpeg, lambda: tf.io.extract_jpeg_shape(content, tf.int64), lambda: tf.ones(3, tf.int64))
        limit = tf.constant(MAX_PIXELS, tf.int64)
        with tf.control_dependencies([tf.debugging.assert_less_equal(size[0] * size[1], limit)]):
            image = tf.io.decode_image(content, 0, expand_animations=False)
        shape = tf.shape(image)
        turned = decoding.orientation(content) >= 5
        shape = tf.where(turned, tf.gather(shape, [1, 0, 2]), shape)
        return shape, tf.fingerprint(tf.reshape(image, [1, -1]))[0]

    signature = (tf.TensorSpec([3], tf.int32), tf.TensorSpec([8], tf.uint8))

    def batch(contents: Any) -> Any:
        return tf.map_fn(one, contents, fn_output_signature=signature, parallel_iterations=1)

    return tf.function(batch, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)


def _is_large(content: bytes) -> bool:
    is_jpeg = content.startswith(b"\xff\xd8")
    return (math.prod(frame_of_jpeg(content)[:2]) if is_jpeg else stated_pixels(content)) > LARGE


def frame_of_jpeg(content: bytes) -> tuple[int, int, int]:
    """Height, width and number of components that the header of a JPEG's frame states; zeros if there is none."""
    at = 2
    while at + 9 < len(content):
        marker = content[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in NO_SIZE:
            height, width, components = struct.unpack_from(">HHB", content, at + 5)
            return height, width, components
        # Any number of bytes FF may come before a marker.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4])
    return 0, 0, 0


def stated_pixels(content: bytes) -> int:
    """Number of pixels stated in the header of an encoded image: a PNG of 400 KB can decode to a gigabyte.

    0 for BMP, whose file is as long as its pixels. Not with Pillow: it needs 8 us instead of 0.2 us for a PNG, and does
    not know frames larger than the GIF's screen until it has decoded them.

    Raises:
        Exception: the header states no size. TensorFlow and `struct` raise many types.
    """
    if content.startswith(b"\x89PNG"):
        return math.prod(struct.unpack_from(">II", content, 16))
    if content.startswith(b"\xff\xd8"):
        height, width, _ = tf.io.extract_jpeg_shape(content).numpy().tolist()
        return int(height * width)
    if content.startswith(b"RIFF"):
        return math.prod(_sides_of_webp(content))
    return _pixels_of_gif(content) if content.startswith(b"GIF") else 0


def _sides_of_webp(content: bytes) -> tuple[int, int]:
    """Width and height, by the kind of the first chunk (RFC 9649): lossy, lossless, or with more chunks."""
    kind, number = content[12:16], lambda at, size: int.from_bytes(content[at : at + size], "little")
    if kind == b"VP8L":
        return (number(21, 4) & 0x3FFF) + 1, (number(21, 4) >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return number(24, 3) + 1, number(27, 3) + 1
    return number(26, 2) & 0x3FFF, number(28, 2) & 0x3FFF


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


def lossless(image: "np.ndarray") -> bytes:
    """The image, uint8 or uint16 [height, width, 1 to 4], as a PNG. Fast rather than small."""
    return bytes(imagecodecs.png_encode(image.copy(), level=1))  # it refuses the strides of some views


def decoder(channels: int, encoding: Encoding = "raw") -> Callable[[bytes], "np.ndarray"]:
    """A function from an encoded image to uint8 [height, width, channels]; 0 channels: as in the file.

    Images are upright: their EXIF orientation is applied. Plain PNG that becomes raw pixels is decoded by libspng:
    TensorFlow's decoder takes three times as long. What is recorded encoded must be decodable by the served graph.
    """
    png_decode, other, uint8 = imagecodecs.spng_decode, imagecodecs.SpngError, np.dtype("uint8")

    def decode(content: bytes) -> "np.ndarray":
        image = by_tensorflow(content) if encoding == "encoded" else as_stored(content)
        return upright(image, content) if may_have_exif(content) else image

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


def may_have_exif(content: bytes) -> bool:
    """False for most images, whose EXIF orientation need not be read."""
    if content.startswith(b"RIFF"):
        return b"EXIF" in content
    return b"Exif\0\0" in content[:HEAD] or b"eXIf" in content[:HEAD]


def upright(image: "np.ndarray", content: bytes) -> "np.ndarray":
    """The image turned and mirrored as the EXIF orientation of its encoded form states, as the served graph does."""
    turned = _orientation()(content)
    return image if turned <= 1 else np.ascontiguousarray(decoding.upright(image, turned))


@functools.cache
def _orientation() -> Any:
    return tf.function(decoding.orientation, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def decoded(decode: Callable[[bytes], "np.ndarray"], content: bytes, name: str, remedy: str = "") -> "np.ndarray":
    """The image `name`, by a `decoder`. The header's size is checked first.

    Raises:
        DataError: it cannot be decoded, or has more than `MAX_PIXELS`.
    """
    try:
        if (pixels := stated_pixels(content)) <= MAX_PIXELS:
            return decode(content)
    except Exception as error:  # TensorFlow and libpng raise many types
        raise DataError(f"{name} cannot be decoded as an image", remedy) from error
    raise DataError(f"{name} has {pixels:,} pixels; the limit is {MAX_PIXELS:,}", remedy)
