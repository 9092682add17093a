"""work: runs trials of a search whose chief is on another machine."""

from components._tuning import oracles, trials
from pipeline.engine.component import StageRun, component
from schemas.artifacts import Features
from schemas.settings.train import Train
from schemas.settings.tune import Tune


@component(kind="always")
def work(features: Features, *, settings: Train, tuning: Tune, run: StageRun) -> Features:
    """Returns the same features once the chief has no more trials. The results are the chief's.

    keras-tuner's environment variables name the chief's address and this worker.
    """
    oracle = oracles.make(tuning, tuning.over(settings))
    trials.run(trials.Work(features, settings, tuning, run.scratch), oracle, run.log)
    return features
