"""Test data: a small TFDS dataset in unusual variants, and `Examples` of any images and labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
import tensorflow_transform as tft

from components._data import shard_files
from schemas import compat, example, shard_reader
from schemas.artifacts import Examples, Features, Split
from schemas.contract import Contract, unused_tag

SHAPE, CLASSES, NAMES = (8, 10, 3), 3, ["red", "green", "blue"]
COUNTS = {"train": 90, "test": 30}
UNUSUAL: dict[str, dict[str, Any]] = {
    "float": {"image": tfds.features.Image(shape=(*SHAPE[:2], 1), dtype=np.float32)},
    "uint16": {"image": tfds.features.Image(shape=SHAPE, dtype=np.uint16)},
    "text": {"label": tfds.features.Text()},
    "multi": {"label": tfds.features.Sequence(tfds.features.ClassLabel(num_classes=CLASSES))},
    "tensor": {"image": tfds.features.Tensor(shape=SHAPE, dtype=np.uint8)},
}


class Pictures(tfds.core.GeneratorBasedBuilder):
    """Colour images 8 x 10 x 3 in 3 classes; each class is brighter in its own channel.

    png, jpeg: the encoding; jpeg has label names. label_ten: grey images of MNIST's size, one with label 10.
    float, uint16, text, multi, tensor: features that are not a uint8 image or a single integer label. named: other
    feature names, without supervised keys.
    """

    VERSION = tfds.core.Version("1.2.3")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in ("png", "jpeg", "label_ten", "named", *UNUSUAL)]  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        variant = self.builder_config.name
        shape, classes = ((28, 28, 1), 11) if variant == "label_ten" else (SHAPE, CLASSES)
        image = tfds.features.Image(shape=shape, encoding_format="jpeg" if variant == "jpeg" else "png")
        label = (
            tfds.features.ClassLabel(names=NAMES)
            if variant == "jpeg"
            else tfds.features.ClassLabel(num_classes=classes)
        )
        if variant == "named":
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict({"picture": image, "colour": label, "id": np.int64})
            )
        features = {"image": image, "label": label} | UNUSUAL.get(variant, {})
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split: str) -> Any:
        shape, classes = ((28, 28, 1), 10) if self.builder_config.name == "label_ten" else (SHAPE, CLASSES)
        images, labels = pictures(COUNTS[split], seed=len(split), shape=shape, classes=classes)
        if self.builder_config.name == "label_ten" and split == "train":
            labels[7] = 10
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            if self.builder_config.name == "named":
                yield index, {"picture": image, "colour": int(label), "id": index}
            else:
                yield index, {"image": image, "label": int(label)} | self._unusual_features(image, int(label))

    def _unusual_features(self, image: np.ndarray, label: int) -> dict[str, Any]:
        values = {
            "float": {"image": image[..., :1].astype(np.float32)},
            "uint16": {"image": image.astype(np.uint16) * 257},
            "text": {"label": NAMES[label % CLASSES]},
            "multi": {"label": [label]},
            "tensor": {"image": image},
        }
        return values.get(self.builder_config.name, {})


def pictures(
    count: int, *, seed: int, shape: tuple[int, int, int] = SHAPE, classes: int = CLASSES
) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [count, height, width, channels], labels int64 [count])."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = random.integers(0, 120, (count, *shape), np.uint8)
    for i, label in enumerate(labels):
        images[i, ..., label % shape[2]] += np.uint8(100)
    return images, labels


def examples(path: Path, shards: int = 1, **splits: tuple[Any, Any]) -> Examples:
    """Records of each split's (images, labels)."""
    path.mkdir(parents=True)
    splits_ = {}
    for split, (images, labels) in splits.items():
        encode = example.encoder("own", "1.0.0", split)
        records = [encode(image, int(label), i) for i, (image, label) in enumerate(zip(images, labels, strict=True))]
        splits_[split] = write(path, split, records, shards)
    return Examples(path, splits=splits_, source="own:1.0.0")


def write(path: Path, split: str, records: list[bytes], shards: int = 1) -> Split:
    parts = [list(part) for part in np.array_split(np.array(records, object), shards)]
    names = [shard_files.name(split, i, shards) for i in range(shards)]
    for name, part in zip(names, parts, strict=True):
        with shard_files.writer(path / name) as writer:
            for record in part:
                writer.write(record)
    return Split(tuple(names), tuple(map(len, parts)))


def records(artifact: Examples | Features, split: str) -> list[bytes]:
    """All records of a split, in order."""
    return [
        record
        for _, path, count in artifact.shards(split)
        for batch in shard_reader.read(path, count)
        for record in batch
    ]


def columns(artifact: Examples, split: str) -> dict[str, np.ndarray]:
    return shard_reader.parse(records(artifact, split), Path("a shard"))


def images(artifact: Examples, split: str) -> np.ndarray:
    """uint8 [count, height, width, channels] of a split whose images have one size."""
    columns_ = columns(artifact, split)
    shape = [int(columns_[f"image/{side}"][0]) for side in ("height", "width", "channels")]
    return np.frombuffer(b"".join(columns_["image"].tolist()), np.uint8).reshape(-1, *shape)


def stored(features: Features, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(pixels uint8, labels int64) as stored in the shards."""
    spec = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    columns_ = tf.io.parse_example(records(features, split), spec)
    pixels = np.frombuffer(b"".join(columns_["image"].numpy()), np.uint8).reshape(-1, *features.shape)
    return pixels, columns_["label"].numpy()


def preprocessed(features: Features, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) of a split after the preprocessing graph, as the model reads them."""
    pixels, labels = stored(features, split)
    layer = tft.TFTransformOutput(str(features.path)).transform_features_layer()
    columns_ = layer({"image": compat.to_bytes(tf.constant(pixels)), "label": tf.constant(labels)})
    return columns_["image"].numpy(), columns_["label"].numpy()


def without_feature(record: bytes, feature: str) -> bytes:
    """The record without one of its features."""
    message = tf.train.Example.FromString(record)
    del message.features.feature[feature]
    return message.SerializeToString(deterministic=True)


def contract(
    shape: tuple[int, int, int] = SHAPE,
    classes: int = CLASSES,
    names: Sequence[str] = (),
    unused: Sequence[int] = (),
) -> Contract:
    """MNIST's contract, for images of another size and other classes."""
    text = Contract.load("mnist.pbtxt").text
    if unused:
        tags = " ".join(f'tag: "{unused_tag(label, names)}"' for label in unused)
        text = text.replace('name: "label"\n', f'name: "label"\n  annotation {{ {tags} }}\n')
    if names:
        text += f'string_domain {{ name: "label" {" ".join(f"""value: "{name}" """ for name in names)} }}\n'
    for side, old, new in zip(("height", "width", "channels"), (28, 28, 1), shape, strict=True):
        feature = f'"image/{side}" type: INT presence {{ min_fraction: 1.0 }} shape {{}} int_domain '
        text = text.replace(f"{feature}{{ min: {old} max: {old} }}", f"{feature}{{ min: {new} max: {new} }}")
    result = Contract("own.pbtxt", text.replace("min: 0 max: 9", f"min: 0 max: {classes - 1}"))
    assert (result.largest, result.classes, result.unused) == (shape, classes, tuple(unused))
    return result


def encoded_contract(
    heights: tuple[int, int], widths: tuple[int, int], channels: tuple[int, int] = (1, 4), classes: int = CLASSES
) -> Contract:
    """A contract of encoded images with sides in these ranges."""
    text = contract(classes=classes).text.replace('tag: "encoding=raw" tag: "dtype=uint8"', 'tag: "encoding=encoded"')
    for side, default, (low, high) in zip(
        ("height", "width", "channels"), SHAPE, (heights, widths, channels), strict=True
    ):
        feature = f'"image/{side}" type: INT presence {{ min_fraction: 1.0 }} shape {{}} int_domain '
        text = text.replace(f"{feature}{{ min: {default} max: {default} }}", f"{feature}{{ min: {low} max: {high} }}")
    result = Contract("own.pbtxt", text)
    assert (result.encoding, result.smallest) == ("encoded", (heights[0], widths[0], channels[0]))
    return result


def contents(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write_weights(saved_model: Path, text: str) -> None:
    """Writes a variables file of TensorFlow whose values depend on the text."""
    (saved_model / "variables").mkdir(exist_ok=True)
    values = tf.constant([float(byte) for byte in text.encode()])
    tf.raw_ops.SaveV2(
        prefix=str(saved_model / "variables" / "variables"),
        tensor_names=["weights"],
        shape_and_slices=[""],
        tensors=[values],
    )


def png_files(folder: Path, count: int) -> list[Path]:
    """PNG files of three classes in turn."""
    images, _ = pictures(count, seed=5)
    files = [folder / f"{i:04d}.png" for i in range(count)]
    for file, image in zip(files, images, strict=True):
        file.write_bytes(imagecodecs.png_encode(image))
    return files
