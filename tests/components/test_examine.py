"""Encoded images are decoded in batches, on all cores, to know their shapes and hashes."""

import PIL.Image
import pytest

from components._data import images
from components._data.images import Examined, examine, examine_one
from schemas.errors import DataError
from tests.components import image_files

ORIENTATION = 0x0112


def encoded(form, orientation=None, size=(30, 20), colour=(200, 10, 30), **options):
    image = PIL.Image.new("RGB", size, colour)
    exif = image.getexif()
    if orientation:
        exif[ORIENTATION] = orientation
    return image_files.encoded(image, form, exif=exif, **options)


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "bmp", "gif"])
def test_shapes_are_those_of_each_image_in_order(form):
    contents = [encoded(form, size=(30, 20)), encoded(form, size=(7, 9)), encoded(form, size=(64, 64))]
    assert [image.shape for image in examine(contents)] == [(20, 30, 3), (9, 7, 3), (64, 64, 3)]


@pytest.mark.parametrize("form", ["jpeg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_shapes_are_upright(form, orientation):
    shape = (30, 20, 3) if orientation >= 5 else (20, 30, 3)
    assert examine_one(encoded(form, orientation), "a.jpg").shape == shape


def test_hashes_are_of_the_pixels_and_do_not_depend_on_the_batch():
    small, large = (encoded("png", compress_level=level) for level in (9, 0))
    other = encoded("png", colour=(200, 10, 31))
    first, second, third = examine([small, large, other])
    assert small != large
    assert first == second
    assert third.hash != first.hash
    assert examine_one(large, "b.png") == first
    # Farmhash's Fingerprint64 is fixed for all versions and machines; another value would draw other splits.
    assert examine_one(encoded("png", size=(2, 1), colour=(1, 2, 3)), "c.png") == Examined(
        (1, 2, 3), 14495190978490108083
    )


def test_one_bad_image_is_found_out():
    whole, cut = encoded("jpeg"), encoded("jpeg")[:200]
    assert examine([whole, cut, whole]) is None
    with pytest.raises(DataError, match=r"^data: cut\.jpg cannot be decoded as an image"):
        examine_one(cut, "cut.jpg")


@pytest.mark.parametrize("form", ["jpeg", "png", "gif"])
def test_images_of_too_many_pixels_are_not_decoded(form, monkeypatch):
    content = encoded(form)
    monkeypatch.setattr(images, "MOST", 599)
    images._examine.cache_clear()
    try:
        assert examine([content]) is None
        with pytest.raises(DataError, match=r"^data: a holds an image of 600 pixels; 599 are allowed"):
            examine_one(content, "a")
    finally:
        images._examine.cache_clear()
