"""Decoding in the graph compared with Pillow, for every format, orientation and size."""

import io

import hypothesis
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from components._data import decoding
from components._data.images import decoder, lossless
from schemas.errors import ConfigurationError
from schemas.example import format_of
from schemas.model_input import ModelInput
from schemas.settings.transform import Transform
from tests.components import pictures
from tests.components.image_files import encoded

ORIENTATION = 0x0112


def photo(height: int = 60, width: int = 90) -> PIL.Image.Image:
    """Smooth colours, which JPEG preserves, with four different corners."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = (rows * 255 // height, columns * 255 // width, (rows + columns) * 255 // (height + width))
    return PIL.Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def decoded(content: bytes, shape: tuple[int, int, int], **options: str) -> np.ndarray:
    return decoding.to_arrays(np.array([content], object), ModelInput(shape, None, **options))[0]


def assert_similar(image: np.ndarray, expected: PIL.Image.Image, tolerance: float) -> None:
    difference = np.abs(image.astype(int) - np.asarray(expected.convert("RGB")).astype(int))
    assert difference.mean() <= tolerance


FORMATS = {
    "jpeg": (encoded(photo(), "JPEG", quality=95), photo(), 2),
    "grey jpeg": (encoded(photo().convert("L"), "JPEG", quality=95), photo().convert("L"), 2),
    "cmyk jpeg": (encoded(photo().convert("CMYK"), "JPEG", quality=95), photo(), 3),
    "progressive jpeg": (encoded(photo(), "JPEG", quality=95, progressive=True), photo(), 2),
    "png": (encoded(photo(), "PNG"), photo(), 0),
    "grey png": (encoded(photo().convert("L"), "PNG"), photo().convert("L"), 0),
    "bit png": (encoded(photo().convert("1"), "PNG"), photo().convert("1"), 0),
    "palette png": (encoded(photo().quantize(32), "PNG"), photo().quantize(32), 0),
    "16 bit png": (
        encoded(PIL.Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 257), "PNG"),
        photo().convert("L"),
        1,
    ),
    "gif": (encoded(photo().quantize(32), "GIF"), photo().quantize(32), 0),
    "bmp": (encoded(photo(), "BMP"), photo(), 0),
    "grey bmp": (encoded(photo().convert("L"), "BMP"), photo().convert("L"), 0),
    "webp": (encoded(photo(), "WEBP", lossless=True), photo(), 0),
}


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_decoded_like_pillow(name):
    content, expected, tolerance = FORMATS[name]
    assert_similar(decoded(content, (60, 90, 3)), expected, tolerance)
    assert format_of(content) == name.split()[-1]
    assert decoder(0, "encoded")(content).shape[:2] == (60, 90)


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0)])
@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_transparent_pixels_are_blended_with_the_background(file_format, background, level):
    image = np.zeros((8, 8, 4), np.uint8)
    image[..., 0], image[:4, :, 3], image[4, :, 3] = 200, 255, 128
    content = encoded(
        PIL.Image.fromarray(image), file_format, **({"lossless": True, "exact": True} if file_format == "WEBP" else {})
    )
    decoded_image = decoded(content, (8, 8, 3), background=background)
    assert decoded_image[0, 0].tolist() == [200, 0, 0]
    assert decoded_image[7, 7].tolist() == [level] * 3
    assert decoded_image[4, 0].tolist() == [round((200 * 128 + level * 127) / 255), *[round(level * 127 / 255)] * 2]


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0)])
def test_every_colour_and_transparency_is_blended_and_rounded(background, level):
    colours, alpha = np.meshgrid(np.arange(256), np.arange(256))
    content = lossless(np.stack([colours, colours, colours, alpha], -1).astype(np.uint8))
    blended = (colours * alpha + level * (255 - alpha) + 127) // 255
    np.testing.assert_array_equal(decoded(content, (256, 256, 3), background=background)[..., 0], blended)


def test_a_transparent_palette_is_blended_with_the_background():
    image = PIL.Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    assert decoded(encoded(image, "PNG", transparency=1), (8, 8, 3)).min() == 255


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(orientation, endian, file_format):
    exif = PIL.Image.Exif()
    exif.endian = endian
    exif[0x010E], exif[ORIENTATION] = "a description before it", orientation
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = encoded(photo(), file_format, exif=exif, **options)
    expected = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(content)))
    decoded_image = decoded(content, (expected.height, expected.width, 3))
    assert_similar(decoded_image, expected, 3)
    # Ingest and the served graph agree.
    np.testing.assert_allclose(decoder(0, "encoded")(content), decoded_image, atol=1)


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("before", [0, 1, 2, 5000, 70_000])
def test_exif_data_of_a_webp_is_found_behind_chunks_of_any_size(before, prefix):
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = 6
    content = encoded(photo(), "WEBP", exif=exif)
    chunks, data = content[: content.index(b"EXIF")], exif.tobytes().removeprefix(b"Exif\0\0")
    chunks += b"ICCP" + before.to_bytes(4, "little") + b"EXIF"[:before] + bytes(max(0, before - 4)) + bytes(before % 2)
    content = chunks + b"EXIF" + len(prefix + data).to_bytes(4, "little") + prefix + data
    assert int(decoding.orientation(tf.constant(content))) == 6
    assert int(decoding.orientation(tf.constant(content[: content.index(b"ICCP") + 8 + before]))) == 0


@hypothesis.given(st.binary(max_size=60))
def test_arbitrary_chunks_of_a_webp_are_read_or_ignored(chunks):
    content = b"RIFF\0\0\0\0WEBPVP8X" + chunks
    assert 0 <= int(decoding.orientation(tf.constant(content))) <= 8


@hypothesis.given(st.binary(max_size=60), st.booleans())
def test_arbitrary_exif_data_is_read_or_ignored(exif_data, little_endian):
    content = b"\xff\xd8\xff\xe1\0\0Exif\0\0" + (b"II*\0" if little_endian else b"MM\0*") + exif_data
    assert 0 <= int(decoding.orientation(tf.constant(content))) <= 8


def test_crop_keeps_the_largest_centred_part():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert (decoded(lossless(wide), (20, 20, 3), fit="crop") == 200).all()
    tall = np.ascontiguousarray(wide.swapaxes(0, 1))
    assert (decoded(lossless(tall), (5, 5, 3), fit="crop") == 200).all()


def test_pad_keeps_the_complete_image_and_stretch_changes_its_aspect_ratio():
    wide = np.full((10, 20, 3), 100, np.uint8)
    padded = decoded(lossless(wide), (20, 20, 3), fit="pad", background="black")
    assert (padded[5:15] == 100).all()
    assert (padded[:5] == 0).all()
    assert (padded[15:] == 0).all()
    assert (decoded(lossless(wide), (20, 20, 3), fit="stretch") == 100).all()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@hypothesis.given(st.tuples(*[st.integers(1, 40)] * 4), st.integers(0, 255))
@hypothesis.settings(max_examples=15, deadline=None)
def test_an_image_of_one_colour_keeps_it_at_any_size(fit, sizes, level):
    height, width, rows, columns = sizes
    fitted = decoding.fitted(tf.fill([1, rows, columns, 3], np.uint8(level)), ModelInput((height, width, 3), fit=fit))
    assert fitted.shape == (1, height, width, 3)
    levels = set(np.unique(fitted).tolist())
    assert level in levels
    assert levels <= ({level, 255} if fit == "pad" else {level})


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_the_models_size_are_unchanged(fit, channels):
    images = np.random.default_rng(1).integers(0, 256, (3, 17, 23, channels), np.uint8)
    model_input = ModelInput((17, 23, channels), fit=fit)
    of_unknown_size = tf.function(
        lambda x: decoding.fitted(x, model_input),
        input_signature=[tf.TensorSpec([None, None, None, channels], tf.uint8)],
    )
    np.testing.assert_array_equal(of_unknown_size(images), images)
    np.testing.assert_array_equal(
        decoding.to_arrays(np.array(list(map(lossless, images)), object), model_input), images
    )


def test_grey_stays_grey_in_one_channel_and_in_three():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    np.testing.assert_array_equal(decoded(lossless(grey), (16, 16, 1)), grey)
    np.testing.assert_array_equal(decoded(lossless(grey), (16, 16, 3)), np.repeat(grey, 3, 2))


@pytest.mark.parametrize("content", [b"", b"not an image", FORMATS["jpeg"][0][:300], FORMATS["png"][0][:300]])
def test_an_undecodable_image_is_an_error_of_the_batch(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoding.to_arrays(np.array([FORMATS["png"][0], content], object), ModelInput((8, 8, 3)))


def test_images_of_several_sizes_need_transform_size():
    contract = pictures.encoded_contract((10, 500), (20, 400))
    with pytest.raises(ConfigurationError) as refused:
        ModelInput.of(contract, Transform())
    assert str(refused.value) == (
        "configuration: transform.size is not set, and own.pbtxt allows images of several sizes\n"
        "  Set the model's input size, for example transform.size: [128, 128]."
    )
    assert ModelInput.of(contract, Transform(size=[32, 48])).shape == (32, 48, 3)
    assert ModelInput.of(contract, Transform(size=[32, 48], channels=1)).shape == (32, 48, 1)
