"""A stage that makes features in no time, for tests that search hyperparameters on them."""

import importlib

from pipeline.engine.component import StageRun, component
from schemas.artifacts import Features


@component
def transform(*, run: StageRun) -> Features:
    bright = importlib.import_module("tests.components.bright")  # not by name: a recipe asks for each library's version
    features: Features = bright.features(run.out)
    return features
