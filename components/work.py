"""work: trials of a search whose chief runs on another machine."""

from components._tuning import oracles, trials
from pipeline.engine.component import Run, component
from schemas.artifacts import Features
from schemas.settings.train import Train
from schemas.settings.tune import Tune


@component(kind="always")
def work(features: Features, *, settings: Train, tuning: Tune, run: Run) -> Features:
    """The same features, when the chief's oracle has no more to try; what was found lies with the chief.

    keras-tuner's variables in the environment say where the chief is and what this worker is called.
    """
    asked = oracles.make(tuning, tuning.over(settings))
    trials.run(trials.Work(features, settings, tuning, run.scratch), asked, run.say)
    return features
