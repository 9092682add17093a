"""tune: selects the hyperparameters for training: the result of a finished search, or the configured ones."""

import shutil

from pipeline.engine.component import StageRun, component
from schemas.artifacts import Features, Hyperparameters, Search
from schemas.artifacts.training import HYPERPARAMETERS
from schemas.settings.train import Train


@component
def tune(features: Features, search: Search | None = None, *, settings: Train, run: StageRun) -> Hyperparameters:
    """The hyperparameters and their origin. Nothing is searched here: the command `tune` searches."""
    del features  # an edge of the line: `search` was made from these features
    path = run.out / HYPERPARAMETERS
    if search is None:
        path.write_text(settings.model_dump_json(indent=2), encoding="utf-8")
        return Hyperparameters(run.out, origin="configured")
    shutil.copyfile(search.path / HYPERPARAMETERS, path)
    trials = f"{search.trials} trial{'s'[: search.trials != 1]}"
    origin = f"search {search.digest[:12]} ({trials}, validation accuracy {search.accuracy:.4f})"
    return Hyperparameters(run.out, origin=origin)
