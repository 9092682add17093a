"""Trainings with settings for tests, and readers of their files."""

import json

import keras
import numpy as np

from components.train import train
from tests.conftest import configured


def trained(features, settings, run):
    return train.function(features, configured(features, settings, run.out.parent / "tune"), run=run)


def weights(model):
    return keras.models.load_model(model.path / "model.keras").get_weights()


def history(model):
    return json.loads((model.path / "history.json").read_text(encoding="utf-8"))


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
