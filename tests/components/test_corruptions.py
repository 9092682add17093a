"""What each corruption does to an image, and that it hangs on the image's index alone."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy import ndimage

from components._evaluation import corruptions
from components._evaluation.corruptions import NAMES, corrupt
from schemas.settings.evaluate import CORRUPTIONS

every = pytest.mark.parametrize("name", NAMES)
shapes = st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))


def random_images(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def bar(count: int, side: int = 28) -> np.ndarray:
    """An upright bar in the middle, as a 1 is written."""
    images = np.zeros((count, side, side, 1), np.uint8)
    images[:, side // 4 : side - side // 4, side // 2 - side // 14 : side // 2 + side // 14] = 255
    return images


def test_the_names_are_those_of_the_settings():
    assert NAMES == CORRUPTIONS


@every
@hypothesis.given(shapes, st.integers(-1, 2**62), st.randoms(use_true_random=False))
def test_an_image_is_corrupted_alike_in_any_batch_and_any_order(name, shape, first, random):
    images, index = random_images(shape), np.arange(first, first + shape[0])
    whole = corrupt(name, images, index)
    assert (whole.shape, whole.dtype) == (shape, np.uint8)
    order = random.sample(range(shape[0]), shape[0])
    np.testing.assert_array_equal(corrupt(name, images[order], index[order]), whole[order])
    for i in range(shape[0]):
        np.testing.assert_array_equal(corrupt(name, images[i : i + 1], index[i : i + 1]), whole[i : i + 1])


@every
def test_every_image_changes_and_the_original_does_not(name):
    images = bar(100)
    kept = images.copy()
    changed = (corrupt(name, images, np.arange(100)) != images).any((1, 2, 3))
    assert changed.all()
    np.testing.assert_array_equal(images, kept)


@every
def test_large_images_are_corrupted_a_few_at_a_time_and_alike(name, monkeypatch):
    images, index = random_images((7, 9, 8, 3)), np.arange(7)
    whole = corrupt(name, images, index)
    monkeypatch.setattr(corruptions, "AT_ONCE", 2 * images[0].size)
    np.testing.assert_array_equal(corrupt(name, images, index), whole)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "noise"])
@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_plain_image_stays_plain_up_to_its_border(name, value):
    images = np.full((20, 11, 13, 3), value, np.uint8)
    np.testing.assert_array_equal(corrupt(name, images, np.arange(20)), images)


def test_an_unknown_corruption_is_an_error():
    with pytest.raises(KeyError, match="fog"):
        corrupt("fog", bar(1), np.arange(1))


@pytest.mark.parametrize(("side", "pixels"), [(28, 3), (56, 6), (10, 1), (4, 1)])
def test_a_shift_is_a_tenth_of_the_side_in_one_of_eight_directions(side, pixels):
    images = np.zeros((200, side, side, 2), np.uint8)
    images[:, side // 2, side // 2] = (200, 100)
    shifted = corrupt("shift", images, np.arange(200))
    found = {tuple((np.argwhere(image[..., 0] == 200)[0] - side // 2).tolist()) for image in shifted}
    assert found == {(y, x) for y in (-pixels, 0, pixels) for x in (-pixels, 0, pixels)} - {(0, 0)}
    np.testing.assert_array_equal(shifted[..., 0], shifted[..., 1] * 2)


def test_a_rotation_is_by_20_degrees_to_either_side():
    rotated = corrupt("rotation", bar(200), np.arange(200)).astype(float)[..., 0]
    y, x = np.indices((28, 28)) - 13.5
    lean = np.degrees(0.5 * np.arctan2(2 * (rotated * x * y).sum((1, 2)), (rotated * (y * y - x * x)).sum((1, 2))))
    assert np.abs(lean) == pytest.approx(20, abs=0.5)
    assert 70 < (lean > 0).sum() < 130


def test_a_rotated_image_is_the_one_that_scipy_rotates():
    image = ndimage.gaussian_filter(random_images((21, 21)).astype(float), 2)
    here = corrupt("rotation", image.astype(np.uint8)[None, :, :, None], np.arange(1))[0, :, :, 0]
    there = [
        ndimage.rotate(image.astype(np.uint8), sign * 20, reshape=False, order=1, mode="nearest", output=float)
        for sign in (-1, 1)
    ]
    assert min(np.abs(here - each).max() for each in there) <= 1


def test_noise_is_normal_and_has_nothing_in_common_with_the_next_images():
    grey = np.full((500, 28, 28, 1), 128, np.uint8)
    noise = (corrupt("noise", grey, np.arange(500)).astype(float) - 128) / 255
    inner = np.abs(noise) < 0.49  # what was not clipped
    assert noise.mean() == pytest.approx(0, abs=0.002)
    assert inner.mean() == pytest.approx(0.95, abs=0.01)  # within 1.96 deviations
    assert np.quantile(noise, [0.16, 0.84]) == pytest.approx([-0.25, 0.25], abs=0.02)
    rows = noise.reshape(500, -1)
    assert np.abs(np.corrcoef(rows)[np.triu_indices(500, 1)]).max() < 0.25
    assert np.corrcoef(rows[:-1].ravel(), rows[1:].ravel())[0, 1] == pytest.approx(0, abs=0.01)
    assert np.corrcoef(rows[:, :-1].ravel(), rows[:, 1:].ravel())[0, 1] == pytest.approx(0, abs=0.01)


def test_the_noise_of_an_index_never_changes():
    grey = np.full((2, 2, 2, 1), 128, np.uint8)
    assert corrupt("noise", grey, np.array([0, 59_999])).reshape(2, 4).tolist() == [
        [144, 176, 0, 96],
        [128, 176, 112, 16],
    ]


@pytest.mark.parametrize("side", [29, 57])
def test_a_blurred_point_is_a_normal_density_that_grows_with_the_image(side):
    point = np.zeros((1, side, side, 1), np.uint8)
    point[:, side // 2, side // 2] = 255
    sigma = corruptions.BLUR * side
    blurred = corrupt("blur", point, np.arange(1))[0, :, :, 0]
    assert blurred.max() == pytest.approx(255 / (2 * np.pi * sigma**2), rel=0.1)
    np.testing.assert_array_equal(blurred, blurred.T)
    np.testing.assert_array_equal(blurred, blurred[::-1])


def test_contrast_draws_each_channel_to_its_own_mean():
    images = random_images((5, 28, 28, 3))
    flat = corrupt("contrast", images, np.arange(5)).astype(float)
    assert flat.std((1, 2)) == pytest.approx(0.3 * images.std((1, 2)), rel=0.01)
    assert flat.mean((1, 2)) == pytest.approx(images.mean((1, 2)), abs=0.1)
