"""Ink and stroke thickness on shapes with known values, and the names of slices."""

from math import prod

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from components._evaluation.measures import MEASURES, binned, ink, stroke

shapes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))
images = shapes.flatmap(
    lambda shape: st.binary(min_size=prod(shape), max_size=prod(shape)).map(
        lambda b: np.frombuffer(b, np.uint8).reshape(shape)
    )
)
y, x = np.indices((40, 40)) - 19.3  # an offset, so that no edge is on the centre of a pixel


def image_of(mask: np.ndarray, channels: int = 1) -> np.ndarray:
    """uint8 [1, height, width, channels], white where the mask is true."""
    return np.repeat(np.where(mask, 255, 0).astype(np.uint8)[None, ..., None], channels, 3)


def lines(degrees: float, width: float, length: float = 30) -> np.ndarray:
    """A line with smooth edges as from a scanner, at eight positions between two pixels."""
    angle, shift = np.radians(degrees), np.arange(8)[:, None, None] / 8
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle) + shift
    coverage = np.clip((width + 1) / 2 - np.abs(across), 0, 1) * np.clip((length + 1) / 2 - np.abs(along), 0, 1)
    return np.rint(255 * coverage).astype(np.uint8)[..., None]


def test_ink_is_the_mean_pixel_as_a_share_of_white():
    images_ = np.zeros((2, 4, 4, 3), np.uint8)
    images_[0, :2] = 255
    images_[1] = 51
    assert ink(images_) == pytest.approx([0.5, 0.2])


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("width", range(1, 9))
def test_the_stroke_of_a_bar_is_its_width(width, across):
    bar = np.zeros((28, 28), bool)
    bar[4:24, 10 : 10 + width] = True
    assert stroke(image_of(bar.T if across else bar)) == pytest.approx(width, rel=0.08)


@pytest.mark.parametrize("degrees", range(0, 180, 15))
@pytest.mark.parametrize("width", [1, 2, 3, 4, 6])
def test_the_stroke_of_a_line_does_not_depend_on_its_angle(degrees, width):
    assert stroke(lines(degrees, width)).mean() == pytest.approx(width, rel=0.1)


@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_holes_and_crossings_do_not_change_the_stroke(width):
    radius, half_width = np.hypot(x, y), width / 2
    ring = np.abs(radius - 12) < half_width
    eight = (np.abs(np.hypot(x, y - 8) - 8) < half_width) | (np.abs(np.hypot(x, y + 8) - 8) < half_width)
    cross = ((np.abs(x) < half_width) | (np.abs(y) < half_width)) & (np.maximum(np.abs(x), np.abs(y)) < 15)
    for shape in (ring, eight, cross):
        assert stroke(image_of(shape)) == pytest.approx(width, rel=0.2)


def test_the_stroke_of_a_disc_is_its_diameter():
    assert stroke(image_of(np.hypot(x, y) < 12)) == pytest.approx(24, rel=0.05)


def test_a_blank_image_has_no_stroke():
    assert stroke(np.zeros((2, 28, 28, 1), np.uint8)).tolist() == [0, 0]
    assert stroke(np.full((1, 28, 28, 3), 127, np.uint8)).tolist() == [0]


def test_the_stroke_does_not_depend_on_colour_and_position():
    bar = np.zeros((28, 28), bool)
    bar[4:24, :3] = True
    inner = np.roll(bar, 10, 1)
    assert stroke(image_of(bar, 3)) == stroke(image_of(inner)) == stroke(image_of(inner, 3))


@pytest.mark.parametrize("measure", MEASURES.values())
@hypothesis.given(images)
def test_a_measure_depends_only_on_the_image_and_not_on_flips(measure, batch):
    values = measure(batch)
    assert (values.shape, values.dtype) == ((len(batch),), np.float64)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    for flipped in (batch[:, ::-1], batch[:, :, ::-1], batch.transpose(0, 2, 1, 3)):
        np.testing.assert_allclose(measure(flipped), values)
    for i in range(len(batch)):
        assert measure(batch[i : i + 1])[0] == values[i]


@pytest.mark.parametrize("measure", MEASURES.values())
def test_an_empty_batch_has_no_measures(measure):
    assert measure(np.zeros((0, 28, 28, 1), np.uint8)).shape == (0,)


def test_bins_are_named_by_their_edges_and_include_the_lower_one():
    names = binned(np.array([0.0, 0.1, 0.12, 0.15, 9.0]), [0.1, 0.15])
    assert names.tolist() == ["below 0.1", "0.1 to 0.15", "0.1 to 0.15", "from 0.15", "from 0.15"]
    assert binned(np.array([1.0, 3.0]), [2]).tolist() == ["below 2", "from 2"]
    assert binned(np.array([]), [2.5]).tolist() == []


@pytest.mark.parametrize("edges", [[], [2.0, 1.0], [1.0, 1.0]])
def test_edges_must_increase(edges):
    with pytest.raises(ValueError, match="edges must increase"):
        binned(np.array([1.0]), edges)
