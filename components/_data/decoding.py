"""Images of records as the model's input, in a TensorFlow graph: the same in training, evaluation and serving.

model_input = ModelInput((224, 224, 3))
pixels(tf.constant([jpeg, png]), model_input)  # uint8 [2, 224, 224, 3]
"""

import functools
from typing import Any

from etils import epy

from schemas.model_input import ModelInput

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf

HEAD = 4096  # bytes in which a JPEG or PNG states its EXIF data
EXIF = b"Exif\0\0"  # before the EXIF data of a JPEG
ORIENTATION = 0x0112  # the EXIF tag (TIFF 6.0, 274)
ENTRIES = 64  # of an EXIF directory
PARALLEL = 4  # images that are decoded at a time; the pixels of each may take 200 MB


def pixels(images: Any, model_input: ModelInput) -> Any:
    """uint8 [batch, height, width, channels] of the model's input, from the records' feature `image`, string [batch].

    Fails for an image that cannot be decoded, or whose raw pixels are of another number.
    """
    if model_input.raw is None:
        return decoded(images, model_input)
    # The number of records is stated: otherwise a record of another size would count as several images, or as none.
    return fitted(tf.reshape(tf.io.decode_raw(images, tf.uint8), [tf.shape(images)[0], *model_input.raw]), model_input)


def to_arrays(images: "np.ndarray", model_input: ModelInput) -> "np.ndarray":
    """Images as a person or a corruption sees them: uint8 [batch, height, width, channels], from object [batch].

    Raw pixels as they are recorded; encoded images at the model's size.
    """
    if model_input.raw is not None:
        return np.frombuffer(b"".join(images.tolist()), np.uint8).reshape(-1, *model_input.raw)
    arrays: np.ndarray = _decoder(model_input)(tf.constant(images.tolist(), tf.string)).numpy()
    return arrays


def thumbnails(images: "np.ndarray", model_input: ModelInput) -> "tuple[np.ndarray, np.ndarray]":
    """Encoded images as `to_arrays` gives them, and the `orientation` of each: int32 [batch]. Decodes each once."""
    arrays, orientations = _decoder(model_input, with_orientation=True)(tf.constant(images.tolist(), tf.string))
    return arrays.numpy(), orientations.numpy()


@functools.lru_cache(4)
def _decoder(model_input: ModelInput, *, with_orientation: bool = False) -> Any:
    signature = [tf.TensorSpec([None], tf.string)]
    both = (tf.TensorSpec(model_input.shape, tf.uint8), tf.TensorSpec([], tf.int32))
    one = functools.partial(_decoded, model_input=model_input)

    def batch(images: Any) -> Any:
        if not with_orientation:
            return decoded(images, model_input)
        return tf.map_fn(one, images, fn_output_signature=both, parallel_iterations=PARALLEL)

    return tf.function(batch, input_signature=signature, autograph=False)


def decoded(images: Any, model_input: ModelInput) -> Any:
    """The same for encoded images, string [batch]: JPEG, PNG, GIF (its first frame), BMP or WebP.

    Images are turned upright by their EXIF orientation. 16 bits a channel become 8. Transparent pixels show the
    background.
    """
    one = lambda content: _decoded(content, model_input)[0]  # noqa: E731
    signature = tf.TensorSpec(model_input.shape, tf.uint8)
    return tf.map_fn(one, images, fn_output_signature=signature, parallel_iterations=PARALLEL)


def fitted(images: Any, model_input: ModelInput) -> Any:
    """uint8 [batch, height, width, channels] of any one size in the model's size and channels.

    Images of the model's size stay as they are, to the bit.
    """
    images = _coloured(images, model_input.shape[2])
    height, width, channels = model_input.shape
    if images.shape[-3:-1] == (height, width):
        return images
    rows, columns = tf.shape(images)[-3], tf.shape(images)[-2]
    if model_input.fit == "crop":
        images = _cropped(images, rows, columns, model_input)
    if model_input.fit == "pad":
        # The longer side fills its side of the input. Integers, so that every machine rounds in the same way.
        tall = tf.clip_by_value(_ratio(rows * width, columns), 1, height)
        wide = tf.clip_by_value(_ratio(columns * height, rows), 1, width)
        resized = _resized(images, tf.stack([tall, wide]))
        top, left = (height - tall) // 2, (width - wide) // 2
        around = [[0, 0]] * (len(images.shape) - 3)
        around += [[top, height - tall - top], [left, width - wide - left], [0, 0]]
        images = tf.pad(resized, around, constant_values=np.uint8(_level(model_input)))
    else:
        images = _resized(images, [height, width])
    return tf.ensure_shape(images, [*images.shape[:-3], height, width, channels])


def orientation(content: Any) -> Any:
    """The EXIF orientation of an encoded image, string []: int32, 1 to 8; 1 if EXIF data states none, 0 without it."""
    # Only the extended form of WebP, VP8X, has EXIF data.
    is_webp = tf.strings.regex_full_match(tf.strings.substr(content, 0, 16), r"RIFF\C{4}WEBPVP8X")
    exif = tf.cond(
        is_webp,
        lambda: _exif_of_webp(content),
        lambda: _exif_in(tf.strings.substr(content, 0, HEAD)),
    )
    # Most images have no EXIF data, and reading it takes 0.5 ms.
    return tf.cond(tf.strings.length(exif) > 0, lambda: _stated_orientation(exif), lambda: tf.constant(0))


def _exif_in(head: Any) -> Any:
    """The EXIF data of a JPEG or PNG, from the TIFF header on: string []; empty if there is none."""

    def exif() -> Any:
        data = tf.io.decode_raw(head, tf.uint8)
        after_jpeg, after_png = _end_of(data, EXIF), _end_of(data, b"eXIf")
        return tf.strings.substr(head, tf.where(after_jpeg >= 0, after_jpeg, after_png), HEAD)

    # RE2's \C matches any byte.
    return tf.cond(tf.strings.regex_full_match(head, r"\C*(Exif\x00\x00|eXIf)\C*"), exif, lambda: tf.constant(b""))


def _exif_of_webp(content: Any) -> Any:
    """The same of a WebP, where it is a chunk of the file, usually the last one."""
    length = tf.strings.length(content)

    def is_before(at: Any) -> Any:
        return (at <= length - 8) & (tf.strings.substr(content, tf.minimum(at, length), 4) != b"EXIF")

    def after(at: Any) -> Any:
        size = tf.cast(tf.io.decode_raw(tf.strings.substr(content, at + 4, 4), tf.uint8), tf.int32)
        # Chunks have an even size. One of 16 MiB or more holds pixels; the limit keeps the sum within int32.
        size = tf.minimum(tf.reduce_sum(size * [1, 2**8, 2**16, 0]) + tf.minimum(size[3], 64) * 2**24, length)
        return at + 8 + size + size % 2

    (at,) = tf.while_loop(is_before, lambda at: (after(at),), [tf.constant(12)])
    exif = tf.strings.substr(content, tf.minimum(at + 8, length), HEAD)
    has_prefix = tf.strings.substr(exif, 0, len(EXIF)) == EXIF  # some programs write it
    return tf.cond(has_prefix, lambda: tf.strings.substr(exif, len(EXIF), HEAD), lambda: exif)


def _stated_orientation(exif: Any) -> Any:
    data = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int32)

    def byte(at: Any) -> Any:
        inside = (at >= 0) & (at < tf.size(data))
        return tf.where(inside, tf.gather(data, tf.where(inside, at, 0)), 0)

    def number(at: Any, size: int) -> Any:
        """Little-endian if the EXIF data begins with "II"."""
        each = [byte(at + i) for i in range(size)]
        little, big = (sum(value * 256**i for i, value in enumerate(order)) for order in (each, each[::-1]))
        return tf.where(byte(0) == ord("I"), little, big)

    directory = number(4, 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), ENTRIES))
    values = tf.where(number(entries, 2) == ORIENTATION, number(entries + 8, 2), 0)
    value = tf.reduce_max(tf.concat([values, [0]], 0))
    return tf.where((value >= 1) & (value <= 8), value, 1)


def upright(image: Any, orientation: Any) -> Any:
    """The image turned and mirrored as its EXIF orientation states."""
    is_one_of = lambda *values: tf.reduce_any(tf.equal(orientation, values))  # noqa: E731
    image = tf.cond(is_one_of(5, 6, 7, 8), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(is_one_of(3, 4, 7, 8), lambda: image[::-1], lambda: image)
    return tf.cond(is_one_of(2, 3, 6, 7), lambda: image[:, ::-1], lambda: image)


def _decoded(content: Any, model_input: ModelInput) -> tuple[Any, Any]:
    """The image in the model's size, and its orientation."""
    # 0: as many channels as the file has. For 4, TensorFlow gives PNG of less than 8 bits a wrong alpha channel.
    image = tf.io.decode_image(content, 0, expand_animations=False)
    channels = tf.shape(image)[2]
    start = tf.strings.substr(content, 0, 12)
    # The fourth channel of a BMP is unused.
    has_alpha = (tf.strings.substr(start, 0, 4) == b"\x89PNG") | (tf.strings.substr(start, 8, 4) == b"WEBP")
    image = tf.cond(
        has_alpha & (channels % 2 == 0),
        lambda: _over_background(image, model_input),
        lambda: image[..., : tf.minimum(channels, 3)],
    )
    image = _coloured(image, 3)
    turned = orientation(content)
    image = tf.cond(turned > 1, lambda: upright(image, turned), lambda: image)
    image.set_shape([None, None, 3])
    return fitted(image, model_input), turned


def _end_of(data: Any, pattern: bytes) -> Any:
    """The position after the first occurrence of a pattern; -1 if there is none."""
    count = tf.maximum(tf.size(data) - len(pattern) + 1, 0)
    same = tf.reduce_all([data[i : count + i] == value for i, value in enumerate(pattern)], 0)
    first = tf.cast(tf.where(same)[:1, 0], tf.int32)
    return tf.reduce_max(tf.concat([first + len(pattern), [-1]], 0))


def _over_background(image: Any, model_input: ModelInput) -> Any:
    """The colours of an image whose last channel is alpha."""
    # The background's level is 0 or 255, so all intermediate values fit into 16 bits. With 32 bits, each step would
    # take up to 1 GB for an image of 64 million pixels.
    colours, alpha = tf.cast(image[..., :-1], tf.uint16), tf.cast(image[..., -1:], tf.uint16)
    if _level(model_input):
        return tf.cast((255 * 255 + 127 - (255 - colours) * alpha) // 255, tf.uint8)
    return tf.cast((colours * alpha + 127) // 255, tf.uint8)


def _level(model_input: ModelInput) -> int:
    return 255 if model_input.background == "white" else 0


def _coloured(images: Any, channels: int) -> Any:
    """Grey as three equal channels, or RGB as luma (ITU-R BT.601), which keeps grey as it is."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return tf.repeat(images, 3 // tf.shape(images)[-1], -1)
    red, green, blue = tf.unstack(tf.cast(images, tf.int32), 3, -1)
    return tf.cast((299 * red + 587 * green + 114 * blue + 500) // 1000, tf.uint8)[..., tf.newaxis]


def _cropped(images: Any, rows: Any, columns: Any, model_input: ModelInput) -> Any:
    """The centre of the largest part with the aspect ratio of the model's input."""
    height, width, _ = model_input.shape
    tall = tf.clip_by_value(_ratio(columns * height, width), 1, rows)
    wide = tf.clip_by_value(_ratio(rows * width, height), 1, columns)
    top, left = (rows - tall) // 2, (columns - wide) // 2
    return images[..., top : top + tall, left : left + wide, :]


def _ratio(one: Any, other: Any) -> Any:
    """The quotient of two integers, rounded."""
    return (2 * one + other) // (2 * other)


def _resized(images: Any, size: Any) -> Any:
    """Bilinear, with antialiasing when it gets smaller."""
    return tf.cast(tf.clip_by_value(tf.round(tf.image.resize(images, size, antialias=True)), 0, 255), tf.uint8)
