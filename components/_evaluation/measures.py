"""Measures of a raw image, by which a test split can be sliced: amount of ink, thickness of strokes.

binned(ink(images), [0.1, 0.15])     # ["below 0.1", "0.1 to 0.15", "from 0.15", ...]
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from etils import epy

from schemas.settings.evaluate import bins

with epy.lazy_imports():
    import numpy as np

HALF = 127.5  # a pixel is ink from half of white upwards, which keeps smoothed edges in place


def ink(images: "np.ndarray") -> "np.ndarray":
    """float64 [n] in [0, 1]: the mean pixel as a share of 255, of uint8 [n, height, width, channels]."""
    share: np.ndarray = images.mean((1, 2, 3), np.float64) / 255
    return share


def stroke(images: "np.ndarray") -> "np.ndarray":
    """Mean thickness of bright strokes in pixels, float64 [n], of uint8 [n, height, width, channels]; 0 without any.

    A ribbon of width k and length L has area A = kL and half a perimeter of s = L + kE, where the Euler number E is the
    number of pieces less the number of holes (a T or a crossing changes nothing). So k solves E k^2 - s k + A = 0. With
    E = 0 that is 2 A / perimeter, the usual width of script (Pratt, Digital Image Processing); E takes out the strokes'
    ends. All three are counted from 2 x 2 neighbourhoods: area and Euler number as Gray (1971), the perimeter as Duda
    (in Pratt), by which slanted strokes are no thinner than upright ones. The thickness of a disc is its diameter.
    """
    one, two, diagonal, three, four = _quads(images)
    area = (one + 2 * (two + diagonal) + 3 * three + 4 * four) / 4
    half = (two + (one + three + 2 * diagonal) / np.sqrt(2)) / 2
    euler = (one - three - 2 * diagonal) / 4
    root = np.sqrt(np.maximum(0, half**2 - 4 * euler * area))
    thickness: np.ndarray = 2 * area / np.maximum(half + root, 1e-9)
    return thickness


MEASURES: "dict[str, Callable[[np.ndarray], np.ndarray]]" = {"ink": ink, "stroke": stroke}


def binned(values: "np.ndarray", edges: Sequence[float]) -> "np.ndarray":
    """object [n] of names: "below 0.1", "0.1 to 0.15", "from 0.15". A value on an edge belongs to the upper bin.

    Raises:
        ValueError: `edges` is empty or not increasing.
    """
    if not edges or any(low >= high for low, high in pairwise(edges)):
        raise ValueError(f"edges must increase, and there must be at least one: {list(edges)}")
    names: np.ndarray = np.array(bins(edges), object)[np.searchsorted(edges, values, side="right")]
    return names


def _quads(images: "np.ndarray") -> "np.ndarray":
    """float64 [5, n]: number of 2 x 2 neighbourhoods with ink in 1 pixel, 2 adjacent, 2 diagonal, 3 and 4 pixels."""
    on = np.pad(images.mean(3, np.float32) > HALF, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    a, b, c, d = on[:, :-1, :-1], on[:, :-1, 1:], on[:, 1:, :-1], on[:, 1:, 1:]
    filled, across = a + b + c + d, (a == d) & (b == c) & (a != b)
    kinds = [filled == 1, (filled == 2) & ~across, across, filled == 3, filled == 4]
    return np.array([np.count_nonzero(kind, (1, 2)) for kind in kinds], np.float64)
