"""push: a blessed and checked model appears in the serving directory."""

import json
from pathlib import Path

from pipeline.component import Run, Unkeyed, component
from pipeline.serving import Shelf
from schemas import statistics as stats
from schemas.artifacts import Evaluation, Model, Pushed, Served, ServingCheck, Statistics


@component(kind="always")
def push(
    model: Model,
    evaluation: Evaluation,
    serving: ServingCheck,
    statistics: Statistics,
    baseline: Served | None,
    *,
    serving_dir: Unkeyed[Path],
    model_name: str,
    run: Run,
) -> Pushed:
    """The version that holds the model: a new one, or the latest if it is this very model.

    Raises:
        Refused: the model on disk is not the one that was evaluated, or another was pushed since it was compared.
        StoreError: the serving directory cannot be written, or holds foreign content.
    """
    assert evaluation.passed and serving.passed
    provenance = {
        "model": model.digest,
        "gates": json.loads((evaluation.path / "gates.json").read_text()),
        "accuracy": evaluation.accuracy,
        "test": evaluation.test,
        **run.lineage,
    }
    version = Shelf(serving_dir, model_name).publish(
        model.path / "saved_model",
        {stats.SERVED: statistics.path / "stats.tfrecord"},
        provenance,
        expected=evaluation.saved_model,
        compared=baseline.digest if baseline else None,
    )
    new = version.provenance["run"] == run.lineage["run"]
    run.say(f"version {version.number}" if new else f"version {version.number} already holds this model")
    return Pushed(version.path, digest=version.digest, version=version.number, new=new)
