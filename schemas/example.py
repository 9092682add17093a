"""The record: a `tf.Example` of one image, its label, and where it came from.

image           bytes   uint8 pixels, row by row, channels last, no compression (encoding "raw");
                        or the image as it was delivered (encoding "encoded")
image/format    bytes   "jpeg", "png", "gif", "bmp" or "webp"; absent for raw pixels
image/height, image/width, image/channels   int64   of the upright image
label           int64
metadata/*      bytes   further columns of a table, e.g. metadata/camera; empty bytes for no value
source/dataset, source/version, source/split   bytes
source/file     bytes   name of the image's file, relative to the source's folder; absent where there is none
source/index    int64   position in the source's split; of files, a number of 53 bits that depends on the name
"""

import functools
from collections.abc import Iterator
from typing import Any, Protocol

from etils import epy

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf

FORMATS = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp"}  # by their first bytes
DECODED = ("bmp", "gif", "jpeg", "png", "webp")  # all that the served graph decodes
METADATA = "metadata/"
BATCH_BYTES = 4 * 2**20  # records in memory at a time, and a few times as much for what is computed from them


class Encode(Protocol):
    def __call__(
        self, image: Any, label: int, index: int, content: bytes = b"", metadata: tuple[str, ...] = (), file: str = ""
    ) -> bytes:
        """The serialized record of an image, uint8 [height, width, channels].

        `content`: its encoded form, if kept; then only the shape of `image` is used. `metadata`: a value for each name
        that the encoder was made for. `file`: its name, if it has one.
        """


def encoder(dataset: str, version: str, split: str, metadata: tuple[str, ...] = ()) -> Encode:
    """A function (image, label, index, content, metadata, file) -> serialized record, for one source split.

    `metadata`: the names of the columns, sorted.

    The bytes are those of a deterministic serialization, with the features in its order; but all that does not change
    from record to record is serialized once, and joined with the pixels and the index three times as fast. The encoder
    of tfx-bsl takes twice as long, and the order of its features changes from call to call.
    """
    source = {"dataset": dataset, "version": version, "split": split}
    texts = {part: _entry(f"source/{part}", _bytes(text.encode())) for part, text in source.items()}
    tail = texts["split"] + texts["version"]
    places = [
        _entry("source/index", _integer(1 << 7 * (size - 1)))[:-size] for size in range(1, 10)
    ]  # by the number of bytes of the index

    continued = [bytes([low | 128]) for low in range(128)]

    @functools.lru_cache(1024)
    def around(shape: tuple[int, int, int], label: int, size: int, form: bytes) -> tuple[bytes, bytes]:
        """The bytes before and after the pixels, or the encoded image."""
        height, width, channels = shape
        sides = (("image/channels", channels), ("image/height", height), ("image/width", width))
        stated = b"".join([_number(name, value) for name, value in sides])
        return stated + _format(form) + _before_bytes(b"image", size), _number("label", label)

    @functools.lru_cache(1024)
    def carried(values: tuple[str, ...]) -> bytes:
        pairs = zip(metadata, values, strict=True)
        entries = [_entry(METADATA + name, _bytes(value.encode())) for name, value in pairs]
        return b"".join([*entries, texts["dataset"]])

    @functools.lru_cache(1024)
    def before_name(size: int) -> bytes:
        return _before_bytes(b"source/file", size)

    @functools.cache
    def head(size: int) -> bytes:
        return b"\x0a" + _varint(size)  # the field `features`

    def encode(
        image: Any, label: int, index: int, content: bytes = b"", metadata: tuple[str, ...] = (), file: str = ""
    ) -> bytes:
        payload = content or image.tobytes()
        before, after = around(image.shape, label, len(payload), format_of(content).encode())
        high = index >> 7
        number = continued[index & 127] + _varint(high) if high else _varint(index)  # the high bits seldom change
        name = file.encode()
        named = before_name(len(name)) + name if name else b""
        place = places[len(number) - 1]
        features = b"".join((before, payload, after, carried(metadata), named, place, number, tail))
        return head(len(features)) + features

    return encode


def format_of(content: bytes) -> str:
    """The format of an encoded image, by its first bytes; "" if it is none that TensorFlow decodes."""
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "webp"
    return next((name for first, name in FORMATS.items() if content.startswith(first)), "")


@functools.lru_cache(1024)
def _varint(number: int) -> bytes:
    """A number of 0 to 2**63 - 1 as Protocol Buffers write it: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _entry(name: str, value: "tf.train.Feature") -> bytes:
    """One feature of a serialized `tf.train.Features`."""
    content: bytes = tf.train.Features(feature={name: value}).SerializeToString(deterministic=True)
    return content


@functools.cache
def _format(form: bytes) -> bytes:
    return _entry("image/format", _bytes(form)) if form else b""


@functools.lru_cache(4096)
def _number(name: str, value: int) -> bytes:
    return _entry(name, _integer(value))


def _before_bytes(name: bytes, size: int) -> bytes:
    """The bytes of such a feature before its value, which has `size` bytes: the sizes of photos seldom repeat."""
    value = b"\x0a" + _varint(size)  # of the BytesList
    value = b"\x0a" + _varint(len(value) + size) + value  # of the Feature
    entry = b"".join((b"\x0a", _varint(len(name)), name, b"\x12", _varint(len(value) + size), value))
    return b"\x0a" + _varint(len(entry) + size) + entry


def _integer(value: int) -> "tf.train.Feature":
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _bytes(value: bytes) -> "tf.train.Feature":
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def encode(columns: dict[str, "np.ndarray"]) -> Iterator[bytes]:
    """Serialized tf.Examples, one for each row of `columns`: bytes object [batch], or int64 [batch].

    Concatenated messages are merged (specification of Protocol Buffers), so a record is concatenated from bytes, ten
    times faster than field by field, and the same input gives the same bytes.

    Raises:
        TypeError: a column has another type or shape.
    """
    return map(b"".join, zip(*(_encoded(name, columns[name]) for name in sorted(columns)), strict=True))


def _encoded(name: str, column: "np.ndarray") -> Iterator[bytes]:
    """Serialized tf.Examples of one feature each."""
    if column.dtype == object and column.ndim == 1:
        start = functools.cache(lambda size: _feature(name, _bytes(bytes(size)))[: -size or None])
        return (start(len(value)) + value for value in column.tolist())
    if column.dtype == np.int64 and column.ndim == 1:
        distinct = {v: _feature(name, _integer(v)) for v in np.unique(column).tolist()}
        return map(distinct.__getitem__, column.tolist())
    raise TypeError(f"feature {name} is {column.dtype} {column.shape}; bytes [batch] or int64 [batch] was expected")


def _feature(name: str, value: "tf.train.Feature") -> bytes:
    content: bytes = tf.train.Example(features=tf.train.Features(feature={name: value})).SerializeToString(
        deterministic=True
    )
    return content
