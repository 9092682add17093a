"""work: trials of a search whose chief runs on another machine."""

from components import _oracle, _trials
from pipeline.component import Run, component
from schemas.artifacts import Features
from schemas.settings import Train
from schemas.tuning import Tune


@component(kind="always")
def work(features: Features, *, settings: Train, tuning: Tune, run: Run) -> Features:
    """The same features, when the chief's oracle has no more to try; what was found lies with the chief.

    keras-tuner's variables in the environment say where the chief is and what this worker is called.
    """
    asked = _oracle.make(tuning, tuning.over(settings))
    _trials.run(_trials.Work(features, settings, tuning, run.scratch), asked, run.say)
    return features
