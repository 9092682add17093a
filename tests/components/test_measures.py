"""Ink and stroke thickness on figures that can be worked out by hand, and the words for slices."""

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
y, x = np.indices((40, 40)) - 19.3  # neither on a pixel nor between two, so that no edge lies on a pixel's centre


def drawn(where: np.ndarray, channels: int = 1) -> np.ndarray:
    """uint8 [1, height, width, channels], ink where it is said."""
    return np.repeat(np.where(where, 255, 0).astype(np.uint8)[None, ..., None], channels, 3)


def lines(degrees: float, width: float, length: float = 30) -> np.ndarray:
    """A line with smooth edges, as a scanner gives it, in eight places between two pixels."""
    a, shift = np.radians(degrees), np.arange(8)[:, None, None] / 8
    along, across = x * np.cos(a) + y * np.sin(a), y * np.cos(a) - x * np.sin(a) + shift
    share = np.clip((width + 1) / 2 - np.abs(across), 0, 1) * np.clip((length + 1) / 2 - np.abs(along), 0, 1)
    return np.rint(255 * share).astype(np.uint8)[..., None]


def test_ink_is_the_mean_pixel_as_a_share_of_white():
    half = np.zeros((2, 4, 4, 3), np.uint8)
    half[0, :2] = 255
    half[1] = 51
    assert ink(half) == pytest.approx([0.5, 0.2])


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("width", range(1, 9))
def test_a_bar_is_as_thick_as_it_is_wide(width, across):
    bar = np.zeros((28, 28), bool)
    bar[4:24, 10 : 10 + width] = True
    assert stroke(drawn(bar.T if across else bar)) == pytest.approx(width, rel=0.08)


@pytest.mark.parametrize("degrees", range(0, 180, 15))
@pytest.mark.parametrize("width", [1, 2, 3, 4, 6])
def test_a_line_is_as_thick_however_it_slants(degrees, width):
    assert stroke(lines(degrees, width)).mean() == pytest.approx(width, rel=0.1)


@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_holes_and_crossings_make_a_stroke_no_thicker(width):
    radius, half = np.hypot(x, y), width / 2
    ring = np.abs(radius - 12) < half
    eight = (np.abs(np.hypot(x, y - 8) - 8) < half) | (np.abs(np.hypot(x, y + 8) - 8) < half)
    cross = ((np.abs(x) < half) | (np.abs(y) < half)) & (np.maximum(np.abs(x), np.abs(y)) < 15)
    for shape in (ring, eight, cross):
        assert stroke(drawn(shape)) == pytest.approx(width, rel=0.2)


def test_a_disc_comes_out_as_its_diameter():
    assert stroke(drawn(np.hypot(x, y) < 12)) == pytest.approx(24, rel=0.05)


def test_a_blank_image_has_no_stroke():
    assert stroke(np.zeros((2, 28, 28, 1), np.uint8)).tolist() == [0, 0]
    assert stroke(np.full((1, 28, 28, 3), 127, np.uint8)).tolist() == [0]


def test_a_stroke_is_as_thick_in_colour_and_at_the_border():
    bar = np.zeros((28, 28), bool)
    bar[4:24, :3] = True
    inner = np.roll(bar, 10, 1)
    assert stroke(drawn(bar, 3)) == stroke(drawn(inner)) == stroke(drawn(inner, 3))


@pytest.mark.parametrize("measure", MEASURES.values())
@hypothesis.given(images)
def test_a_measure_is_a_number_of_the_image_alone_whichever_way_it_is_turned(measure, batch):
    found = measure(batch)
    assert (found.shape, found.dtype) == ((len(batch),), np.float64)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    for turned in (batch[:, ::-1], batch[:, :, ::-1], batch.transpose(0, 2, 1, 3)):
        np.testing.assert_allclose(measure(turned), found)
    for i in range(len(batch)):
        assert measure(batch[i : i + 1])[0] == found[i]


@pytest.mark.parametrize("measure", MEASURES.values())
def test_no_images_have_no_measures(measure):
    assert measure(np.zeros((0, 28, 28, 1), np.uint8)).shape == (0,)


def test_bins_are_named_by_their_edges_and_an_edge_belongs_above():
    words = binned(np.array([0.0, 0.1, 0.12, 0.15, 9.0]), [0.1, 0.15])
    assert words.tolist() == ["below 0.1", "0.1 to 0.15", "0.1 to 0.15", "from 0.15", "from 0.15"]
    assert binned(np.array([1.0, 3.0]), [2]).tolist() == ["below 2", "from 2"]
    assert binned(np.array([]), [2.5]).tolist() == []


@pytest.mark.parametrize("edges", [[], [2.0, 1.0], [1.0, 1.0]])
def test_edges_must_rise(edges):
    with pytest.raises(ValueError, match="edges must increase"):
        binned(np.array([1.0]), edges)
