"""A few test images and the probabilities that they were given, for the serving check.

probes.tfrecord   records
encoded.tfrecord  the same as encoded images; only if records hold encoded images
pixels.npy        uint8 [n, height, width, 3] or, of grey images, [n, height, width]: the same as the signature
                  `images` takes them
probes.npy        float32 [n, classes]: probabilities
"""

from pathlib import Path

from etils import epy

from components._data.decoding import to_arrays
from components._evaluation import evaluator
from schemas import shard_reader
from schemas.artifacts import Examples
from schemas.artifacts.evaluation import ENCODED, PIXELS, PROBABILITIES, PROBES
from schemas.model_input import ModelInput

with epy.lazy_imports():
    import numpy as np
    import pyarrow.parquet as pq
    import tensorflow as tf

COUNT = 32


def write(examples: Examples, predictions: Path, model_input: ModelInput, out: Path) -> None:
    """Writes the first records of the test split, which are the same in every run on the same data."""
    _, path, count = next(examples.shards("test"))
    records = next(shard_reader.read(path, count, COUNT))
    images = shard_reader.parse(records, path)["image"]
    _write(out / PROBES, records)
    if model_input.raw is None:
        _write(out / ENCODED, images.tolist())
    arrays = to_arrays(images, model_input)
    np.save(out / PIXELS, arrays[..., 0] if arrays.shape[-1] == 1 else arrays)
    rows = pq.read_table(predictions / f"{path.stem}.parquet").slice(0, len(records))
    np.save(out / PROBABILITIES, np.stack(rows[evaluator.PROBABILITIES].to_numpy()))


def _write(path: Path, records: list[bytes]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
