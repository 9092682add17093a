"""A stage that makes features in no time, for tests that search hyperparameters on them."""

import importlib

from pipeline.engine.component import StageRun, component
from schemas.artifacts import Features


@component
def transform(*, run: StageRun) -> Features:
    # Not imported by name: the recipe would include the versions of its libraries.
    bright = importlib.import_module("tests.components.bright")
    features: Features = bright.features(run.out)
    return features
