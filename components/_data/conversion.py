"""Images of formats that TensorFlow does not decode, TIFF, AVIF and HEIF, as PNG.

as_png(tiff, "scan.tif")     # b"\\x89PNG...": the same pixels, upright
as_png(jpeg, "photo.jpg")    # jpeg, as it is
"""

import io
import re
from collections.abc import Callable
from typing import Any

from etils import epy

from components._data import decoding
from components._data.images import MAX_PIXELS, lossless
from schemas.errors import DataError

with epy.lazy_imports():
    import imagecodecs
    import numpy as np
    from PIL import AvifImagePlugin, TiffImagePlugin

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands (ISO 23008-12)
BITS, PHOTOMETRIC, EXTRA, PLANAR = 258, 262, 338, 284  # tags of TIFF 6.0
DEEP = ("I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes of 16 bits
KEPT = ("L", "LA", "RGB", "RGBA", *DEEP)
BECOMES = {"1": "L", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}  # others become RGB


def as_png(content: bytes, name: str) -> bytes:
    """The image as a PNG, if it is a TIFF (its first page), an AVIF or a HEIF; anything else as it is.

    Its EXIF orientation is applied. Grey, RGB and alpha of 8 or 16 bits keep their values; 10 and 12 bits are spread
    over 16. CMYK, Lab and palettes become RGB, and HEIF, which is not free of loss in itself, becomes 8 bits.

    Raises:
        DataError: it cannot be decoded, has more than `MAX_PIXELS`, or its codec is not installed.
    """
    if (decode := _decode_of(content)) is None:
        return content
    try:
        return lossless(decode(content, name))
    except DataError:
        raise
    except Exception as error:  # Pillow, libtiff and libavif raise many types
        raise DataError(f"{name} cannot be decoded as an image") from error


def _decode_of(content: bytes) -> "Callable[[bytes, str], np.ndarray] | None":
    """By the first bytes, as files may have the wrong suffix."""
    if content.startswith(TIFF):
        return _of_tiff
    if content[4:8] != b"ftyp":
        return None
    brands = re.findall(b"(?s)....", content[8 : min(int.from_bytes(content[:4]), 256)])
    if b"avif" in brands or b"avis" in brands:
        return _of_avif
    return _of_heif if any(brand in HEIF for brand in brands) else None


def _of_tiff(content: bytes, name: str) -> "np.ndarray":
    cause = f"{name} is a TIFF with unsupported pixels; supported: grey, RGB, CMYK, palette, integers up to 16 bits"
    try:
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(content))
    except SyntaxError as error:
        if str(error) == "unknown pixel mode":
            raise DataError(cause) from error
        raise
    if image.mode in ("F", "I"):
        raise DataError(cause)
    _check_size(image, name)
    bits = max(image.tag_v2.get(BITS, (1,)))
    premultiplied = 1 in image.tag_v2.get(EXTRA, ())
    if image.mode in ("RGB", "RGBA") and bits == 16 and not premultiplied:  # Pillow would reduce it to 8 bits
        pixels = imagecodecs.tiff_decode(content)
        if image.tag_v2.get(PLANAR) == 2:
            pixels = np.moveaxis(pixels, 0, -1)
        return _upright(pixels[..., : len(image.mode)], image)
    inverted = image.mode in DEEP and image.tag_v2[PHOTOMETRIC] == 0
    pixels = _widened(_pixels(image), bits)  # it is upright: Pillow applies the orientation of a TIFF
    return 65535 - pixels if inverted else pixels


def _of_avif(content: bytes, name: str) -> "np.ndarray":
    image = AvifImagePlugin.AvifImageFile(io.BytesIO(content))
    _check_size(image, name)
    at = content.index(b"av1C") + 6  # high_bitdepth and twelve_bit of the codec's configuration
    bits = 12 if content[at] & 32 else 10
    # Pillow would reduce 10 and 12 bits to 8, and make RGB of grey.
    return _upright(_widened(imagecodecs.avif_decode(content, index=0), bits), image)


def _of_heif(content: bytes, name: str) -> "np.ndarray":
    try:
        import pillow_heif
    except ImportError as error:
        cause = f"{name} is a HEIF, whose codec is not installed: pip install pillow-heif, or convert it to JPEG or PNG"
        raise DataError(cause) from error
    image = pillow_heif.HeifImageFile(io.BytesIO(content))
    _check_size(image, name)
    return _pixels(image)  # upright: libheif turns it


def _check_size(image: Any, name: str) -> None:
    """By the header: nothing is decoded yet."""
    if (pixels := image.width * image.height) > MAX_PIXELS:
        raise DataError(f"{name} has {pixels:,} pixels; the limit is {MAX_PIXELS:,}")


def _pixels(image: Any) -> "np.ndarray":
    """uint8 or uint16 [height, width] or [height, width, channels] of a Pillow image."""
    image.load()
    if image.mode not in KEPT:
        image = image.convert(BECOMES.get(image.mode, "RGB"))
    pixels = np.asarray(image)
    return pixels.astype(np.uint16) if image.mode in DEEP else pixels


def _widened(pixels: "np.ndarray", bits: int) -> "np.ndarray":
    """The same with values of fewer than 16 bits spread over 16: the largest becomes the largest."""
    return pixels << 16 - bits | pixels >> 2 * bits - 16 if pixels.dtype == np.uint16 and bits < 16 else pixels


def _upright(pixels: "np.ndarray", image: Any) -> "np.ndarray":
    turned = image.getexif().get(decoding.ORIENTATION, 1)
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]
    return np.asarray(decoding.upright(pixels, turned))
