"""tune: the hyperparameters that training uses, those that a search found if one was made, the configured ones otherwise."""

import shutil

from pipeline.engine.component import Run, component
from schemas.artifacts import Features, Hyperparameters, Search
from schemas.settings.train import Train


@component
def tune(features: Features, found: Search | None = None, *, settings: Train, run: Run) -> Hyperparameters:
    """`hyperparameters.json`, and where it comes from. Nothing is searched here: that is the command `tune`."""
    del features  # what was searched on; `found` was made from them
    path = run.out / "hyperparameters.json"
    if found is None:
        path.write_text(settings.model_dump_json(indent=2))
        return Hyperparameters(run.out, origin="configured")
    shutil.copyfile(found.path / "hyperparameters.json", path)
    trials = f"{found.trials} trial{'s'[: found.trials != 1]}"
    return Hyperparameters(
        run.out, origin=f"search {found.digest[:12]} ({trials}, validation accuracy {found.accuracy:.4f})"
    )
