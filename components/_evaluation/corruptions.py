"""Test images corrupted as by a camera or a scanner: a small fixed set of corruptions, one severity each.

In the manner of MNIST-C (Mu and Gilmer 2019) and ImageNet-C (Hendrycks and Dietterich 2019): every
digit is still readable. The random part depends only on the index of the image, not on batches or shards.

corrupt("shift", images, index)     # uint8 [n, height, width, channels]
"""

import math
from typing import Any

from etils import epy

with epy.lazy_imports():
    import numpy as np
    from scipy import ndimage

NAMES = ("shift", "rotation", "noise", "blur", "contrast")

SHIFT = 0.1  # of the side, in one of eight directions: 3 pixels of 28, where MNIST leaves a margin of about 4
ROTATION = 20  # degrees to either side: more than a hand's slant, less than makes a 1 of a 7
NOISE = 0.25  # standard deviation as a share of 255: about ImageNet-C's severity 4
BLUR = (
    0.04  # standard deviation as a share of the shorter side: 1.1 pixels of 28, less than half of MNIST's median stroke
)
CONTRAST = 0.3  # of what it was, about the image's mean: ImageNet-C's severity 2

BLOCK_PIXELS = 2**20  # noise needs 30 bytes for each, and the processor's cache is small
DIRECTIONS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]


def corrupt(name: str, images: "np.ndarray", index: "np.ndarray") -> "np.ndarray":
    """Corrupted images, shaped as `images`: uint8 [n, height, width, channels]. `index`: int64 [n], source positions.

    Pixels beyond the border repeat the border, so that no new edge appears.

    Raises:
        KeyError: `name` is none of NAMES.
    """
    corruption, out = _CORRUPTIONS[name], np.empty_like(images)
    step = max(1, BLOCK_PIXELS // math.prod(images.shape[1:]))
    for i in range(0, len(images), step):
        out[i : i + step] = corruption(images[i : i + step], index[i : i + step])
    return out


def _shift(images: "np.ndarray", index: "np.ndarray") -> "np.ndarray":
    out, (height, width) = np.empty_like(images), images.shape[1:3]
    direction = _random(index, 1)[:, 0] % len(DIRECTIONS)
    for i, (down, right) in enumerate(DIRECTIONS):
        rows = np.clip(np.arange(height) - down * max(1, round(SHIFT * height)), 0, height - 1)
        columns = np.clip(np.arange(width) - right * max(1, round(SHIFT * width)), 0, width - 1)
        chosen = np.flatnonzero(direction == i)
        out[chosen] = images[chosen[:, None, None], rows[:, None], columns]
    return out


def _rotation(images: "np.ndarray", index: "np.ndarray") -> "np.ndarray":
    out, clockwise = np.empty_like(images), _random(index, 1)[:, 0] % 2 == 1
    for chosen, degrees in ((clockwise, -ROTATION), (~clockwise, ROTATION)):
        rotated = ndimage.rotate(
            images[chosen], degrees, axes=(2, 1), reshape=False, output=np.float32, order=1, mode="nearest"
        )
        out[chosen] = _pixels(rotated)
    return out


def _noise(images: "np.ndarray", index: "np.ndarray") -> "np.ndarray":
    # The number of ones among 64 random bits has mean 32 and deviation 4, and is close to normal (de Moivre 1733). An
    # integer is the same on every machine and in every version of numpy, which numpy's generators do not promise.
    bits = _random(index, math.prod(images.shape[1:]))
    normal = (np.bitwise_count(bits).astype(np.float32) - 32) / 4
    return _pixels(images + 255 * NOISE * normal.reshape(images.shape))


def _blur(images: "np.ndarray", index: "np.ndarray") -> "np.ndarray":
    sigma = BLUR * min(images.shape[1:3])
    return _pixels(ndimage.gaussian_filter(images, (0, sigma, sigma, 0), output=np.float32, mode="nearest"))


def _contrast(images: "np.ndarray", index: "np.ndarray") -> "np.ndarray":
    mean = images.mean((1, 2), np.float64, keepdims=True)  # sums of integers, exact in any order
    return _pixels(mean + CONTRAST * (images - mean))


def _pixels(values: "np.ndarray") -> "np.ndarray":
    rounded: np.ndarray = np.rint(values).clip(0, 255).astype(np.uint8)
    return rounded


def _random(index: "np.ndarray", count: int) -> "np.ndarray":
    """uint64 [n, count]: the first numbers of a SplitMix64 generator for each index (Steele, Lea and Flood 2014).

    One NumPy generator per image would take ten times as long as the corruption itself.
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    start = _mixed(index.astype(np.uint64))  # neighbours in the split start far apart
    return _mixed(start[:, None] + golden * np.arange(1, count + 1, dtype=np.uint64))


def _mixed(bits: "np.ndarray") -> "np.ndarray":
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = bits ^ (bits >> np.uint64(31))
    return mixed


_CORRUPTIONS: dict[str, Any] = dict(zip(NAMES, (_shift, _rotation, _noise, _blur, _contrast), strict=True))
