"""A dataset so small that training takes a second: 60 train and 40 validation images, bright or dark."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np

from components.transform import transform
from schemas.artifacts import Features, Verdict
from schemas.settings.train import Mlp, Optimizer, Train
from schemas.settings.transform import Transform
from tests.components import pictures
from tests.conftest import folder_run

# With dropout, because then Keras does not compile the model, which would take longer than the training.
TRAIN = Train(model=Mlp(layers=[4], dropout=0.1), optimizer=Optimizer(name="sgd", learning_rate=0.1), batch_size=20)


def features(folder: Path, shape: tuple[int, int, int] = (4, 4, 1), train: int = 60) -> Features:
    """Features of images in 2 classes, from the real transform, in three shards per split."""
    random, splits = np.random.default_rng(1), {}
    for split, count in (("train", train), ("validation", 40)):
        labels = np.arange(count) % 2
        values = random.random((count, *shape)) * 0.9 + 0.1 * labels[:, None, None, None]
        splits[split] = (np.round(255 * values).astype(np.uint8), labels)
    with tempfile.TemporaryDirectory() as scratch:
        examples, run = (
            pictures.examples(Path(scratch) / "examples", 3, **splits),
            folder_run(Path(scratch) / "transform"),
        )
        contract, passed = pictures.contract(shape, 2), Verdict(run.out, passed=True)
        result = transform.function(examples, passed, contract=contract, settings=Transform(), run=run)
        shutil.copytree(run.out, folder, dirs_exist_ok=True)
    return dataclasses.replace(result, path=folder)
