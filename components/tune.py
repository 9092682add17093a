"""tune: the hyperparameters that training uses. For now the configured ones; a search takes this place in the line."""

from pipeline.component import Run, component
from schemas.artifacts import Features, Hyperparameters
from schemas.settings import Train


@component
def tune(features: Features, *, settings: Train, run: Run) -> Hyperparameters:
    """The configured hyperparameters, as `hyperparameters.json`."""
    del features  # what a search would try them on
    (run.out / "hyperparameters.json").write_text(settings.model_dump_json(indent=2))
    return Hyperparameters(run.out, origin="configured")
