"""search: hyperparameters tried one set after another, by how a model trained with them does on the validation split."""

import json
import os
from pathlib import Path
from typing import Any

from etils import epy

from components._tuning import chief, oracles, trials
from pipeline.engine.component import Run, Unkeyed, component
from schemas import example
from schemas.artifacts import Features, Search
from schemas.errors import Refused
from schemas.settings.train import Train
from schemas.settings.tune import Range, Space, Tune, drawn

with epy.lazy_imports():
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hparams


@component
def search(features: Features, *, settings: Train, tuning: Tune, workers: Unkeyed[int], run: Run) -> Search:
    """The hyperparameters of the trial with the highest validation accuracy; the test split is not looked at.

    A search that was killed goes on: finished trials are kept, an unfinished one goes on from its last epoch.
    With more than one worker, trials run in as many processes. With keras-tuner's variables in the environment this
    is the chief that workers on other machines ask too (`work`).

    Raises:
        Refused: no trial came to a result.
        GatelineError: the workers died.
    """
    for _, path, count in features.shards():
        example.check(path, count)
    space = tuning.over(settings)
    study = oracles.resumed(tuning, space, run.scratch)
    if kept := [row for row in oracles.rows(study) if row["state"] != "unfinished"]:
        run.say(f"goes on after {len(kept)} finished trial{'s'[: len(kept) != 1]}")
    work = trials.Work(features, settings, tuning, run.scratch)
    if chief.ADDRESS in os.environ:
        with chief.serving(study, os.environ[chief.ADDRESS], int(os.environ[chief.PORT])) as service:
            if workers > 1:
                chief.local_workers(service, work, workers, run.say)
            service.wait()
    elif workers > 1:
        with chief.serving(study, "127.0.0.1") as service:
            chief.local_workers(service, work, workers, run.say)
    else:
        trials.run(work, study, run.say)
    return _found(oracles.rows(study), space, settings, run)


def _found(rows: list[dict[str, Any]], space: Space, settings: Train, run: Run) -> Search:
    (run.out / "trials.json").write_text(json.dumps(rows, indent=2))
    finished = [row for row in rows if row["state"] == "finished"]
    if not finished:
        seen = ", ".join(
            f"{sum(row['state'] == s for row in rows)} {s}" for s in sorted({row["state"] for row in rows})
        )
        remedy = "Look at tune.space and tune.parameters; the log has what was raised."
        raise Refused(f"no trial of the search came to a result ({seen or 'none was tried'})", remedy)
    best = max(finished, key=lambda row: row["score"])
    (run.out / "hyperparameters.json").write_text(drawn(settings, best["values"]).model_dump_json(indent=2))
    _write_logs(rows, space, run.out / "logs")
    run.say(f"best: trial {best['trial']}, validation accuracy {best['score']:.4f}")
    return Search(run.out, trials=len(rows), best=best["trial"], accuracy=best["score"])


def _write_logs(rows: list[dict[str, Any]], space: Space, path: Path) -> None:
    """TensorBoard's HParams: a run for each trial that was trained."""
    keys = {name: hparams.HParam(name, _domain(values)) for name, values in space.named().items()}
    with tf.summary.create_file_writer(str(path)).as_default():
        hparams.hparams_config(hparams=list(keys.values()), metrics=[hparams.Metric("validation_accuracy")])
    for row in rows:
        if row["state"] == "finished":
            with tf.summary.create_file_writer(str(path / row["trial"])).as_default():
                hparams.hparams({keys[name]: value for name, value in row["values"].items()}, trial_id=row["trial"])
                tf.summary.scalar("validation_accuracy", row["score"], row["epochs"])


def _domain(values: Any) -> Any:
    if not isinstance(values, Range):
        return hparams.Discrete(values)
    if listed := values.listed():
        return hparams.Discrete(listed)
    return (hparams.IntInterval if isinstance(values.min, int) else hparams.RealInterval)(values.min, values.max)
