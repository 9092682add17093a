"""Images as files of users: folders of them, formats of Pillow, and records that hold the files' content."""

import io
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import tensorflow as tf

from schemas import example
from schemas.artifacts import Examples
from tests.components import pictures


def image_folder(root: Path, images: np.ndarray, labels: np.ndarray, names: list[str]) -> Path:
    """PNG files in a folder for each label."""
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = root / names[int(label)] / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))
    return root


def encoded(image: PIL.Image.Image, form: str, **options: object) -> bytes:
    """The content of a file in a format of Pillow, such as "JPEG"."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def encoded_examples(path: Path, **splits: Sequence[bytes]) -> Examples:
    """Encoded records of each split's files; their labels are 0, 1 and 2 by turns."""
    path.mkdir(parents=True)
    made = {}
    for split, contents in splits.items():
        encode = example.encoder("own", "1.0.0", split)
        images = [tf.io.decode_image(content).numpy() for content in contents]
        records = [
            encode(image, i % 3, i, content) for i, (image, content) in enumerate(zip(images, contents, strict=True))
        ]
        made[split] = pictures.write(path, split, records)
    return Examples(path, splits=made, source="own:1.0.0")
