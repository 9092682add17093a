"""`mnist_sample`: 5,000 real MNIST digits as a TFDS dataset, read from the IDX files in this folder. See README.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from components.sources import idx

_HERE = Path(__file__).parent


class MnistSample(tfds.core.GeneratorBasedBuilder):
    """A balanced sample of MNIST: 4,000 train and 1,000 test images, 400 and 100 of each digit."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        )
        return self.dataset_info_from_configs(features=features, supervised_keys=("image", "label"))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in ("train", "test")}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        images = idx.array(_HERE / f"{split}-images-idx3-ubyte.gz")
        labels = idx.array(_HERE / f"{split}-labels-idx1-ubyte.gz")
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": image[:, :, np.newaxis], "label": int(label)}
