"""The effect of each corruption on an image, which depends only on the image's index."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy import ndimage

from components._evaluation import corruptions
from components._evaluation.corruptions import NAMES, corrupt
from schemas.settings.evaluate import CORRUPTIONS

each_corruption = pytest.mark.parametrize("name", NAMES)
shapes = st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))


def random_images(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def bar(count: int, side: int = 28) -> np.ndarray:
    """A vertical bar in the middle, like the digit 1."""
    images = np.zeros((count, side, side, 1), np.uint8)
    images[:, side // 4 : side - side // 4, side // 2 - side // 14 : side // 2 + side // 14] = 255
    return images


def test_the_names_match_the_settings():
    assert NAMES == CORRUPTIONS


@each_corruption
@hypothesis.given(shapes, st.integers(-1, 2**62), st.randoms(use_true_random=False))
def test_a_corruption_does_not_depend_on_batch_and_order(name, shape, first, random):
    images, index = random_images(shape), np.arange(first, first + shape[0])
    expected = corrupt(name, images, index)
    assert (expected.shape, expected.dtype) == (shape, np.uint8)
    order = random.sample(range(shape[0]), shape[0])
    np.testing.assert_array_equal(corrupt(name, images[order], index[order]), expected[order])
    for i in range(shape[0]):
        np.testing.assert_array_equal(corrupt(name, images[i : i + 1], index[i : i + 1]), expected[i : i + 1])


@each_corruption
def test_every_image_changes_and_the_original_does_not(name):
    images = bar(100)
    original = images.copy()
    changed = (corrupt(name, images, np.arange(100)) != images).any((1, 2, 3))
    assert changed.all()
    np.testing.assert_array_equal(images, original)


@each_corruption
def test_corrupting_large_images_in_parts_gives_the_same_result(name, monkeypatch):
    images, index = random_images((7, 9, 8, 3)), np.arange(7)
    expected = corrupt(name, images, index)
    monkeypatch.setattr(corruptions, "BLOCK_PIXELS", 2 * images[0].size)
    np.testing.assert_array_equal(corrupt(name, images, index), expected)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "noise"])
@pytest.mark.parametrize("value", [0, 7, 255])
def test_an_image_of_one_colour_is_unchanged(name, value):
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
    offsets = {tuple((np.argwhere(image[..., 0] == 200)[0] - side // 2).tolist()) for image in shifted}
    assert offsets == {(y, x) for y in (-pixels, 0, pixels) for x in (-pixels, 0, pixels)} - {(0, 0)}
    np.testing.assert_array_equal(shifted[..., 0], shifted[..., 1] * 2)


def test_a_rotation_is_by_20_degrees_in_either_direction():
    rotated = corrupt("rotation", bar(200), np.arange(200)).astype(float)[..., 0]
    y, x = np.indices((28, 28)) - 13.5
    angle = np.degrees(0.5 * np.arctan2(2 * (rotated * x * y).sum((1, 2)), (rotated * (y * y - x * x)).sum((1, 2))))
    assert np.abs(angle) == pytest.approx(20, abs=0.5)
    assert 70 < (angle > 0).sum() < 130


def test_a_rotation_equals_that_of_scipy():
    image = ndimage.gaussian_filter(random_images((21, 21)).astype(float), 2)
    ours = corrupt("rotation", image.astype(np.uint8)[None, :, :, None], np.arange(1))[0, :, :, 0]
    references = [
        ndimage.rotate(image.astype(np.uint8), sign * 20, reshape=False, order=1, mode="nearest", output=float)
        for sign in (-1, 1)
    ]
    assert min(np.abs(ours - reference).max() for reference in references) <= 1


def test_noise_is_normal_and_independent_between_images():
    grey_images = np.full((500, 28, 28, 1), 128, np.uint8)
    noise = (corrupt("noise", grey_images, np.arange(500)).astype(float) - 128) / 255
    inner = np.abs(noise) < 0.49  # not clipped
    assert noise.mean() == pytest.approx(0, abs=0.002)
    assert inner.mean() == pytest.approx(0.95, abs=0.01)  # within 1.96 deviations
    assert np.quantile(noise, [0.16, 0.84]) == pytest.approx([-0.25, 0.25], abs=0.02)
    rows = noise.reshape(500, -1)
    assert np.abs(np.corrcoef(rows)[np.triu_indices(500, 1)]).max() < 0.25
    assert np.corrcoef(rows[:-1].ravel(), rows[1:].ravel())[0, 1] == pytest.approx(0, abs=0.01)
    assert np.corrcoef(rows[:, :-1].ravel(), rows[:, 1:].ravel())[0, 1] == pytest.approx(0, abs=0.01)


def test_the_noise_of_an_index_is_fixed():
    grey_images = np.full((2, 2, 2, 1), 128, np.uint8)
    assert corrupt("noise", grey_images, np.array([0, 59_999])).reshape(2, 4).tolist() == [
        [144, 176, 0, 96],
        [128, 176, 112, 16],
    ]


@pytest.mark.parametrize("side", [29, 57])
def test_blur_is_gaussian_and_proportional_to_the_image_size(side):
    point = np.zeros((1, side, side, 1), np.uint8)
    point[:, side // 2, side // 2] = 255
    sigma = corruptions.BLUR * side
    blurred = corrupt("blur", point, np.arange(1))[0, :, :, 0]
    assert blurred.max() == pytest.approx(255 / (2 * np.pi * sigma**2), rel=0.1)
    np.testing.assert_array_equal(blurred, blurred.T)
    np.testing.assert_array_equal(blurred, blurred[::-1])


def test_contrast_moves_each_channel_towards_its_mean():
    images = random_images((5, 28, 28, 3))
    flat = corrupt("contrast", images, np.arange(5)).astype(float)
    assert flat.std((1, 2)) == pytest.approx(0.3 * images.std((1, 2)), rel=0.01)
    assert flat.mean((1, 2)) == pytest.approx(images.mean((1, 2)), abs=0.1)
