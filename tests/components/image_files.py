"""Image files as users have them: folders, formats of Pillow, and records with encoded images."""

import gzip
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


def encoded(image: PIL.Image.Image, file_format: str, **options: object) -> bytes:
    """The content of an image file in a format of Pillow, such as "JPEG"."""
    out = io.BytesIO()
    image.save(out, file_format, **options)
    return out.getvalue()


def encoded_examples(path: Path, **splits: Sequence[bytes]) -> Examples:
    """Encoded records of each split's files, with labels 0, 1 and 2 in turn."""
    path.mkdir(parents=True)
    splits_ = {}
    for split, contents in splits.items():
        encode = example.encoder("own", "1.0.0", split)
        images = [tf.io.decode_image(content, expand_animations=False).numpy() for content in contents]
        records = [
            encode(image, i % 3, i, content) for i, (image, content) in enumerate(zip(images, contents, strict=True))
        ]
        splits_[split] = pictures.write(path, split, records)
    return Examples(path, splits=splits_, source="own:1.0.0")


def idx_files(root: Path, **splits: tuple[np.ndarray, np.ndarray]) -> Path:
    """Files in MNIST's IDX format: type and number of dimensions, sizes, values."""
    root.mkdir(exist_ok=True)
    for split, arrays in splits.items():
        for name, array in zip(("images", "labels"), arrays, strict=True):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4) for size in array.shape)
            content = head + array.astype(np.uint8).tobytes()
            (root / f"{split}-{name}-idx{array.ndim}-ubyte.gz").write_bytes(gzip.compress(content))
    return root


def tfrecord_files(root: Path, rows: list[tuple[bytes, str | int]], count: int, names: str = "part-{}") -> str:
    """`count` files of tf.Examples of (encoded image, label)."""
    root.mkdir(exist_ok=True)
    for i in range(count):
        with tf.io.TFRecordWriter(str(root / f"{names.format(i)}.tfrecord")) as writer:
            for content, label in rows[i::count]:
                message = tf.train.Example()
                message.features.feature["image"].bytes_list.value.append(content)
                feature = message.features.feature["label"]
                if isinstance(label, int):
                    feature.int64_list.value.append(label)
                else:
                    feature.bytes_list.value.append(label.encode())
                writer.write(message.SerializeToString())
    return str(root / "*.tfrecord")
