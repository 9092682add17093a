"""Encoded images are decoded in batches on all cores to get their shapes and hashes."""

from concurrent.futures import ThreadPoolExecutor

import PIL.Image
import pytest

from components._data import images
from components._data.images import Examined, examine, examine_one
from schemas.errors import DataError
from tests.components import image_files

ORIENTATION = 0x0112


def encoded(file_format, orientation=None, size=(30, 20), colour=(200, 10, 30), **options):
    image = PIL.Image.new("RGB", size, colour)
    exif = image.getexif()
    if orientation:
        exif[ORIENTATION] = orientation
    return image_files.encoded(image, file_format, exif=exif, **options)


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp", "bmp", "gif"])
def test_shapes_are_those_of_each_image_in_order(file_format):
    contents = [
        encoded(file_format, size=(30, 20)),
        encoded(file_format, size=(7, 9)),
        encoded(file_format, size=(64, 64)),
    ]
    assert [image.shape for image in examine(contents)] == [(20, 30, 3), (9, 7, 3), (64, 64, 3)]


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_shapes_are_upright(file_format, orientation):
    shape = (30, 20, 3) if orientation >= 5 else (20, 30, 3)
    assert examine_one(encoded(file_format, orientation), "a.jpg").shape == shape


def test_hashes_are_of_the_pixels_and_do_not_depend_on_the_batch():
    small, large = (encoded("png", compress_level=level) for level in (9, 0))
    other = encoded("png", colour=(200, 10, 31))
    first, second, third = examine([small, large, other])
    assert small != large
    assert first == second
    assert third.hash != first.hash
    assert examine_one(large, "b.png") == first
    # Farmhash's Fingerprint64 is fixed for all versions and machines; another value would change the splits.
    assert examine_one(encoded("png", size=(2, 1), colour=(1, 2, 3)), "c.png") == Examined(
        (1, 2, 3), 14495190978490108083
    )


def test_a_damaged_image_is_detected():
    intact, truncated = encoded("jpeg"), encoded("jpeg")[:200]
    assert examine([intact, truncated, intact]) is None
    with pytest.raises(DataError, match=r"^data: cut\.jpg cannot be decoded as an image"):
        examine_one(truncated, "cut.jpg")


def test_the_header_of_a_jpeg_states_the_size_of_its_frame():
    assert images.frame_of_jpeg(encoded("jpeg", orientation=6, size=(300, 200))) == (200, 300, 3)
    assert images.frame_of_jpeg(b"\xff\xd8" + b"\xff" * 100) == (0, 0, 0)
    assert images.frame_of_jpeg(b"\xff\xd8") == (0, 0, 0)


@pytest.mark.parametrize("file_format", ["jpeg", "png"])
def test_large_images_are_decoded_one_at_a_time(file_format):
    """A large image waits for the lock, a small one does not."""
    large, small = encoded(file_format, size=(4097, 4096)), encoded(file_format)
    with ThreadPoolExecutor(2) as threads:
        with images._alone:
            waiting = threads.submit(examine, [small, large])
            assert threads.submit(examine, [small]).result(60)[0].shape == (20, 30, 3)
            with pytest.raises(TimeoutError):
                waiting.result(1)
        assert [each.shape for each in waiting.result(60)] == [(20, 30, 3), (4096, 4097, 3)]


@pytest.mark.parametrize("file_format", ["jpeg", "png", "gif"])
def test_images_of_too_many_pixels_are_not_decoded(file_format, monkeypatch):
    content = encoded(file_format)
    monkeypatch.setattr(images, "MAX_PIXELS", 599)
    images._examine.cache_clear()
    try:
        assert examine([content]) is None
        with pytest.raises(DataError, match=r"^data: a has 600 pixels; the limit is 599"):
            examine_one(content, "a")
    finally:
        images._examine.cache_clear()
