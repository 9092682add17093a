"""Folders of generated JPEG files, in a folder for each label: smooth textures whose colours depend on the label."""

from pathlib import Path

import imagecodecs
import numpy as np


def photos(folder: Path) -> Path:
    """1,400 files of two labels with sides of 200 to 500 pixels."""
    random = np.random.default_rng(1)
    for label in range(2):
        for number in range(700):
            write(folder / f"label{label}" / f"{number:05d}.jpg", random, label / 2, random.integers(200, 500, 2))
    return folder


def small_images(folder: Path) -> Path:
    """60,000 files of ten labels with 32 by 32 pixels, 50,000 of them in `train/`."""
    for split, each in (("train", 5000), ("test", 1000)):
        labelled(folder / split, labels=10, each=each, side=32)
    return folder


def labelled(folder: Path, *, labels: int, each: int, side: int, first: int = 0) -> None:
    """Files of square images, numbered from `first` in the folder of each label."""
    random = np.random.default_rng([labels, each, side, first])
    for label in range(labels):
        for number in range(first, first + each):
            write(folder / f"label{label}" / f"{number:06d}.jpg", random, label / labels, (side, side))


def write(path: Path, random: np.random.Generator, hue: float, sides: tuple[int, int] | np.ndarray) -> None:
    """A texture of a few waves, so that its file has about the size of a photo's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = (np.linspace(0, 1, side, dtype=np.float32) for side in sides)
    waves = random.uniform(3, 25, (6, 3)).astype(np.float32)
    image = sum(np.sin(waves[i, 0] * x[None, :, None] + waves[i, 1] * y[:, None, None] + waves[i]) for i in range(6))
    colours = np.array([hue, 1 - hue, 0.5], np.float32)
    noise = random.normal(0, 4, image.shape).astype(np.float32)
    pixels = np.clip(110 + 20 * image + 60 * colours + noise, 0, 255).astype(np.uint8)
    path.write_bytes(imagecodecs.jpeg8_encode(pixels, level=85))
