"""Inputs for a served model that differ from the images it was trained on, and inputs that it must refuse.

write(path, shape, encoded=True)  # [{"name": "a grey JPEG", "inputs": {"bytes": ["..."], ...}, "fails": false}, ...]
"""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from etils import epy

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf
    from PIL import Image

ORIENTATION, TURNED = 0x0112, 6  # the EXIF tag, and its value of a phone that was held upright


@dataclass(frozen=True)
class OddInput:
    """What a signature is called with, in base64: one input, or inputs that must all have the same answer."""

    name: str  # with an article
    inputs: dict[str, list[str]] = field(default_factory=dict)  # by signature: records, or encoded images
    fails: bool = False  # True: a call that contains it must fail


def write(path: Path, shape: tuple[int, ...], *, encoded: bool) -> None:
    """Writes the odd inputs of a model whose records hold encoded images, or raw pixels of one `shape`."""
    inputs = [*(_encoded() if encoded else _raw(int(np.prod(shape)))), *_broken_records()]
    path.write_text(json.dumps([asdict(each) for each in inputs]), encoding="utf-8")


def _encoded() -> Iterator[OddInput]:
    colours = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    picture = Image.fromarray(colours)
    png = _file(picture, "PNG")
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    yield _images("an image of 1 x 1 pixels", _file(picture.crop((0, 0, 1, 1)), "PNG"))
    yield _images("an image of 300 x 2 pixels", _file(picture.resize((300, 2)), "JPEG"))
    yield _images("a grey JPEG", _file(picture.convert("L"), "JPEG"))
    yield _images("a CMYK JPEG", _file(picture.convert("CMYK"), "JPEG"))
    yield _images("a PNG with a palette", _file(picture.quantize(16), "PNG"))
    yield _images("a PNG with transparency", _file(picture.convert("RGBA").rotate(30), "PNG"))
    yield _images("a PNG of 16 bits", _file(Image.fromarray(colours[..., 0].astype(np.uint16) * 257), "PNG"))
    yield _images("a GIF", _file(picture.quantize(16), "GIF"))
    yield _images("a BMP of the same pixels as a PNG", png, _file(picture, "BMP"))
    yield _images("a WebP of the same pixels as a PNG", png, _file(picture, "WEBP", lossless=True))
    turned = picture.transpose(Image.Transpose.ROTATE_90)  # what the camera stores: EXIF says how to turn it back
    yield _images("an image that EXIF turns", png, _file(turned, "PNG", exif=exif))
    yield _images("an empty image", b"", fails=True)
    yield _images("a text in place of an image", b"not an image", fails=True)
    yield _images("a truncated JPEG", _file(picture, "JPEG")[:-200], fails=True)


def _raw(size: int) -> Iterator[OddInput]:
    yield _records("an image of no pixels", _record(b""), fails=True)
    yield _records("an image with a byte too few", _record(bytes(size - 1)), fails=True)
    yield _records("an image with a byte too many", _record(bytes(size + 1)), fails=True)
    yield _records("an image of twice the pixels", _record(bytes(2 * size)), fails=True)


def _broken_records() -> Iterator[OddInput]:
    yield _records("a record without an image", tf.train.Example().SerializeToString(), fails=True)
    yield _records("bytes that are not a record", b"not a record", fails=True)


def _images(name: str, *contents: bytes, fails: bool = False) -> OddInput:
    inputs = {"bytes": list(map(_text, contents)), "serving_default": [_text(_record(each)) for each in contents]}
    return OddInput(name, inputs, fails)


def _records(name: str, record: bytes, *, fails: bool) -> OddInput:
    return OddInput(name, {"serving_default": [_text(record)]}, fails)


def _record(image: bytes) -> bytes:
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    record: bytes = tf.train.Example(features=tf.train.Features(feature={"image": feature})).SerializeToString()
    return record


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _file(image: "Image.Image", form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
