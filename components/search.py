"""search: searches hyperparameters by validation accuracy with keras-tuner."""

import collections
import os
from pathlib import Path
from typing import Any

from etils import epy

from components._tuning import chief, oracles, trials
from pipeline.engine.component import StageRun, Unkeyed, component
from schemas import shard_reader
from schemas.artifacts import Features, Search
from schemas.artifacts.training import HYPERPARAMETERS
from schemas.errors import Refused
from schemas.settings.train import Train
from schemas.settings.tune import Range, Space, Tune, with_values

with epy.lazy_imports():
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hparams


@component
def search(features: Features, *, settings: Train, tuning: Tune, workers: Unkeyed[int], run: StageRun) -> Search:
    """The hyperparameters of the trial with the highest validation accuracy. The test split is not read.

    A killed search resumes: finished trials are kept, an unfinished one resumes from its last epoch.
    With more than one worker, each trial runs in one of as many processes. If keras-tuner's environment variables are
    set, this process is the chief of workers on other machines too (`work`).

    Raises:
        Refused: no trial produced a result.
        GatelineError: the workers died.
    """
    shard_reader.check((path, count) for _, path, count in features.shards())
    space = tuning.over(settings)
    study = oracles.restore(tuning, space, run.scratch)
    if kept := [row for row in oracles.rows(study) if row["state"] != "unfinished"]:
        run.log(f"resumes after {len(kept)} finished trial{'s'[: len(kept) != 1]}")
    work = trials.Work(features, settings, tuning, run.scratch)
    if chief.ADDRESS in os.environ:
        with chief.serving(study, os.environ[chief.ADDRESS], int(os.environ[chief.PORT])) as service:
            if workers > 1:
                chief.local_workers(service, work, workers, run.log)
            service.wait()
    elif workers > 1:
        with chief.serving(study, "127.0.0.1") as service:
            chief.local_workers(service, work, workers, run.log)
    else:
        trials.run(work, study, run.log)
    return _result(oracles.rows(study), space, settings, run)


def _result(rows: list[dict[str, Any]], space: Space, settings: Train, run: StageRun) -> Search:
    Search.write_rows(run.out, rows)
    finished = [row for row in rows if row["state"] == "finished"]
    if not finished:
        counts = collections.Counter(row["state"] for row in rows)
        states = ", ".join(f"{counts[state]} {state}" for state in sorted(counts)) or "no trial was run"
        remedy = "Check tune.space and tune.parameters; the log holds the errors."
        raise Refused(f"no trial of the search produced a result ({states})", remedy)
    best = max(finished, key=lambda row: row["score"])
    best_settings = with_values(settings, best["values"])
    (run.out / HYPERPARAMETERS).write_text(best_settings.model_dump_json(indent=2), encoding="utf-8")
    _write_logs(rows, space, run.out / "logs")
    run.log(f"best: trial {best['trial']}, validation accuracy {best['score']:.4f}")
    return Search(run.out, trials=len(rows), best=best["trial"], accuracy=best["score"])


def _write_logs(rows: list[dict[str, Any]], space: Space, path: Path) -> None:
    """Writes TensorBoard's HParams: a run for each finished trial."""
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
