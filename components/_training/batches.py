"""Features as `tf.data`: held in memory as uint8 if they fit, streamed otherwise.

The preprocessing graph, which is also part of the served model, scales images and encodes labels of each batch. The
order of an epoch depends on seed and epoch alone, so a resumed training sees the same batches.

Records are often sorted by label. So a streamed epoch reads blocks of consecutive records in random order, and shuffles
the records of many blocks in a buffer.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from etils import epy

from components._data import decoding
from components._training.blocks import Blocks
from schemas import compat
from schemas.artifacts import Features

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf
    import tensorflow_transform as tft

GROUP = 64  # steps that one call of the compiled training function makes, at most
GROUP_BYTES = 64 * 2**20  # images of one call, as the network reads them
FLOAT = 4  # bytes for each byte of uint8
BUFFER = 20_000  # examples among which a streamed epoch is shuffled, at most
BUFFER_BYTES = 256 * 2**20  # of them
BLOCKS = 256  # that the buffer holds: one block in many changes the shares of the classes little


@dataclass(frozen=True)
class Batches:
    """The train split in groups of batches.

    images: float32 [steps, batch, height, width, channels].
    labels: int64 [steps, batch], or one-hot float32 [steps, batch, classes].
    """

    features: Features
    batch_size: int
    seed: int
    memory_mb: int

    @property
    def count(self) -> int:
        return self.features.splits["train"].count

    @property
    def batch(self) -> int:
        return min(self.batch_size, self.count)

    @cached_property
    def group(self) -> int:
        """Steps per call: the size, up to GROUP, that drops the fewest examples per epoch. Each epoch drops others."""
        steps = self.count // self.batch
        most = min(GROUP, steps, max(1, GROUP_BYTES // (self.batch * FLOAT * self._image_bytes)))
        return min(range(math.ceil(most / 2), most + 1), key=lambda size: (steps % size, -size))

    @property
    def calls(self) -> int:
        """Groups in an epoch."""
        return self.count // (self.batch * self.group)

    def epoch(self, number: int) -> "tf.data.Dataset":
        """The groups of one epoch, in the order of that epoch."""
        size = self.batch * self.group
        if self._in_memory is None:
            taken = self._streamed(number).batch(size, drop_remainder=True)
        else:
            images, labels = self._in_memory
            order = np.random.default_rng([self.seed, number]).permutation(self.count)
            picks = tf.data.Dataset.from_tensor_slices(order[: self.calls * size].reshape(self.calls, size))
            taken = picks.map(lambda i: (tf.gather(images, i), tf.gather(labels, i)))
        grouped = taken.map(self._preprocessed).map(self._grouped)
        return grouped.apply(tf.data.experimental.assert_cardinality(self.calls)).prefetch(2)

    def validation(self) -> "tf.data.Dataset":
        """The validation split in plain batches."""
        count = self.features.splits["validation"].count
        records = tf.data.TFRecordDataset([str(path) for _, path, _ in self.features.shards("validation")])
        parsed = records.batch(self._at_once).map(self._parsed)
        if count * self._image_bytes <= self.memory_mb * 2**20:
            parsed = parsed.cache()
        counted = tf.data.experimental.assert_cardinality(math.ceil(count / self._at_once))
        return parsed.map(self._preprocessed).apply(counted).prefetch(1)

    @property
    def _image_bytes(self) -> int:
        return math.prod(self.features.shape)

    @cached_property
    def _record_bytes(self) -> float:
        """Mean size of a record: one that is decoded while training may be far larger than its pixels."""
        sizes = {path: path.stat().st_size / count for _, path, count in self.features.shards("train")}
        return sum(sizes.values()) / len(sizes)

    @property
    def _at_once(self) -> int:
        """Images of a batch that is not trained on."""
        return max(1, min(1000, int(GROUP_BYTES // max(FLOAT * self._image_bytes, self._record_bytes))))

    @cached_property
    def _in_memory(self) -> "tuple[tf.Tensor, tf.Tensor] | None":
        """Pixels, string [count], and labels, int64 [count], of the whole split."""
        if self._image_bytes * self.count > self.memory_mb * 2**20:
            return None
        records = tf.data.TFRecordDataset([str(path) for _, path, _ in self.features.shards("train")])
        batches = list(records.batch(self._at_once).map(self._parsed, num_parallel_calls=2, deterministic=True))
        with tf.device("CPU"):
            return tf.concat([images for images, _ in batches], 0), tf.concat([labels for _, labels in batches], 0)

    @cached_property
    def _preprocess(self) -> Any:
        return tft.TFTransformOutput(str(self.features.path)).transform_features_layer()

    @cached_property
    def _blocks(self) -> Blocks:
        shards = [(path, count) for _, path, count in self.features.shards("train")]
        return Blocks.of(shards, BUFFER // BLOCKS, BUFFER_BYTES // BLOCKS)

    def _streamed(self, number: int) -> "tf.data.Dataset":
        order = np.random.default_rng([self.seed, number]).permutation(len(self._blocks))
        buffer = max(1, min(BUFFER, int(BUFFER_BYTES // self._record_bytes)))
        records = self._blocks.read(order).shuffle(buffer, seed=self.seed + number)
        return records.batch(self._at_once).map(self._parsed, num_parallel_calls=2, deterministic=True).unbatch()

    def _parsed(self, records: Any) -> Any:
        """(pixels string [batch], labels int64 [batch])."""
        columns = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
        parsed = tf.io.parse_example(records, columns)
        if self.features.model_input is None or self.features.pixels:
            return parsed["image"], parsed["label"]
        return compat.to_bytes(decoding.pixels(parsed["image"], self.features.model_input)), parsed["label"]

    def _preprocessed(self, images: Any, labels: Any) -> Any:
        columns = self._preprocess({"image": images, "label": labels})
        return columns["image"], columns["label"]

    def _grouped(self, images: Any, labels: Any) -> Any:
        return tuple(tf.reshape(t, [self.group, self.batch, *t.shape[1:]]) for t in (images, labels))
