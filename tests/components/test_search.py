"""search: hyperparameters by validation accuracy, resumable, with one or several workers."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components._training.training import Training
from components._tuning import oracles
from components.search import search
from schemas.errors import ConfigurationError, Refused
from schemas.settings.train import Train
from schemas.settings.tune import LogRange, Range, Space, Tune, with_values
from tests.components import bright
from tests.components.bright import TRAIN

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TUNERS = ["grid", "random", "bayesian", "hyperband"]


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return bright.features(tmp_path_factory.mktemp("bright"))


def tuning(tuner, space, **options):
    return Tune(**({"tuner": tuner, "space": space, "trials": 4, "max_epochs": 1} | options))


def run_search(features, tuning_, run, workers=1):
    """Runs a search; returns (artifact, rows of its trials)."""
    artifact = search.function(features, settings=TRAIN, tuning=tuning_, workers=workers, run=run)
    return artifact, rows(run)


def rows(run):
    return json.loads((run.out / "trials.json").read_text(encoding="utf-8"))


def run_scored_trials(tuning_, score, folder):
    """Rows of a search whose trials are scored without training; the oracle is restored from disk for each trial."""
    while (
        trial := (oracle := oracles.restore(tuning_, tuning_.space, folder)).create_trial("tuner0")
    ).status == "RUNNING":
        values = oracles.sampled_values(trial)
        oracle.update_trial(
            trial.trial_id,
            {oracles.SCORE: score(values), "epochs": trial.hyperparameters.values.get("tuner/epochs", 1)},
        )
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return oracles.rows(oracle)


@pytest.mark.parametrize("tuner", TUNERS)
def test_every_tuner_exhausts_a_space_of_two_values(tuner, tmp_path):
    trial_rows = run_scored_trials(
        tuning(tuner, Space(units=[2, 3]), trials=20), lambda values: values["units"] / 10, tmp_path
    )
    assert {row["values"]["units"]: row["score"] for row in trial_rows} == {2: 0.2, 3: 0.3}
    assert {row["state"] for row in trial_rows} == {"finished"}


@pytest.mark.parametrize("tuner", TUNERS)
def test_every_tuner_uses_all_trials_and_samples_from_the_space(tuner, tmp_path):
    space = Space(units=Range(min=2, max=8, step=2), dropout=[0.0, 0.5], learning_rate=LogRange(min=1e-3, max=1.0))
    trials = {"hyperband": 16, "bayesian": 4}.get(tuner, 7)  # three are random, the last is Bayesian
    trial_rows = run_scored_trials(
        tuning(tuner, space, trials=trials, max_epochs=9),
        lambda values: values["dropout"] + values["units"] / 100,
        tmp_path,
    )
    assert len(trial_rows) == trials
    for row in trial_rows:
        assert row["values"].keys() == {"units", "dropout", "learning_rate"}
        assert row["values"]["units"] in (2, 4, 6, 8)
        assert row["values"]["dropout"] in (0.0, 0.5)
        assert 1e-3 <= row["values"]["learning_rate"] <= 1.0
    if tuner == "hyperband":  # the best trials are trained further
        assert [row["epochs"] for row in trial_rows] == [1] * 9 + [3] * 3 + [9] + [3] * 3


def test_a_grid_covers_every_combination_once(tmp_path):
    space = Space(units=[2, 3], dropout=Range(min=0.0, max=0.5, step=0.25), learning_rate=LogRange(min=1e-4, max=1e-2))
    trial_rows = [
        tuple(row["values"].values())
        for row in run_scored_trials(tuning("grid", space, trials=1000), lambda values: 0.5, tmp_path)
    ]
    rates = sorted({rate for *_, rate in trial_rows})
    assert len(rates) == 10  # of a range without a step
    assert sorted(trial_rows) == sorted(itertools.product([2, 3], [0.0, 0.25, 0.5], rates))


def test_the_best_values_replace_training_settings(features, new_run):
    run = new_run()
    artifact, trial_rows = run_search(
        features, tuning("random", Space(units=[2, 3], learning_rate=[1e30, 0.1]), trials=4), run
    )
    states = {row["values"]["learning_rate"]: (row["state"], row["score"] is None) for row in trial_rows}
    assert states == {
        1e30: ("diverged", True),
        0.1: ("finished", False),
    }  # a NaN loss is a bad result and not an error
    best = max((row for row in trial_rows if row["score"]), key=lambda row: row["score"])
    assert (artifact.trials, artifact.best, artifact.accuracy) == (4, best["trial"], best["score"])
    written = Train.model_validate_json((artifact.path / "hyperparameters.json").read_text(encoding="utf-8"))
    assert written == with_values(TRAIN, best["values"])
    assert (written.epochs, written.model.dropout) == (TRAIN.epochs, TRAIN.model.dropout)
    logs = EventAccumulator(str(artifact.path / "logs" / best["trial"]))  # TensorBoard's HParams
    logs.Reload()
    assert set(logs.PluginTagToContent("hparams")) == {"_hparams_/session_start_info"}
    (event,) = logs.Tensors("validation_accuracy")
    assert (event.step, float(tf.make_ndarray(event.tensor_proto))) == (1, pytest.approx(best["score"], abs=1e-6))


def test_models_above_the_parameter_limit_are_not_trained(features, new_run):
    run = new_run()
    with pytest.raises(Refused) as refused:
        run_search(features, tuning("grid", Space(units=[2, 3]), parameters=10), run)
    assert refused.value.cause == "no trial of the search produced a result (2 too large)"
    assert [(row["state"], row["epochs"], row["score"]) for row in rows(run)] == [("too large", 0, None)] * 2


def test_a_promoted_hyperband_trial_equals_an_uninterrupted_training(features, new_run, tmp_path):
    tuning_ = tuning("hyperband", Space(learning_rate=LogRange(min=0.01, max=1.0)), max_epochs=3)
    _, trial_rows = run_search(features, tuning_, new_run())
    assert [row["epochs"] for row in trial_rows] == [1, 1, 1, 3]
    promoted = trial_rows[3]
    assert promoted["values"] == max(trial_rows[:3], key=lambda row: row["score"])["values"]
    uninterrupted = Training(
        features, with_values(TRAIN, promoted["values"]).model_copy(update={"epochs": 3}), tmp_path / "whole.npz"
    )
    assert promoted["score"] == pytest.approx([row["val_accuracy"] for row in uninterrupted.epochs(3)][-1], abs=1e-6)


KILLED = """
import sys
from pathlib import Path
from components.search import search
from schemas.settings.tune import Tune
from tests.components import bright
from tests.conftest import folder_run
folder = Path(sys.argv[1])
(folder / "features").mkdir()
run = folder_run(folder / "killed")
out = sys.stdout
run.log = lambda text: print(text, file=out, flush=True)
tuning = Tune.model_validate_json(sys.argv[2])
search.function(bright.features(folder / "features"), settings=bright.TRAIN, tuning=tuning, workers=1, run=run)
"""


def test_a_killed_search_resumes_with_its_finished_trials(features, tmp_path, new_run):
    tuning_ = tuning("grid", Space(units=[2, 3]), max_epochs=30)
    command = [sys.executable, "-c", KILLED, str(tmp_path), tuning_.model_dump_json()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        list(itertools.islice((line for line in process.stdout if line.startswith("trial 1  running")), 3))
        process.send_signal(signal.SIGKILL)  # trial 0 is finished, trial 1 is running
    run = new_run()
    run.scratch = tmp_path / "killed" / "scratch"
    before = oracles.rows(oracles.restore(tuning_, tuning_.space, run.scratch))
    assert [row["state"] for row in before] == ["finished", "unfinished"]
    _, trial_rows = run_search(features, tuning_, run)
    assert run.logged[0] == "resumes after 1 finished trial"
    assert trial_rows[0] == before[0]  # the same seconds: it did not run again
    assert [(row["values"]["units"], row["state"], row["epochs"]) for row in trial_rows] == [
        (2, "finished", 30),
        (3, "finished", 30),
    ]
    first_message = run.logged[1].split("  ")
    assert first_message[:2] == ["trial 1", "running"]
    assert int(first_message[2].split("/")[0]) >= 2  # not at the first epoch


def test_workers_take_over_the_trials_of_a_killed_worker(features, new_run):
    run, killed_workers = new_run(), []

    def log(text):
        run.logged.append(text)
        if not killed_workers and "  running  " in text:
            killed_workers.append(threading.current_thread().name)
            os.kill(int(killed_workers[0].split()[-1]), signal.SIGKILL)

    run.log = log
    _, trial_rows = run_search(features, tuning("grid", Space(units=[2, 3, 4])), run, workers=2)
    assert [(row["values"]["units"], row["state"]) for row in trial_rows] == [
        (2, "finished"),
        (3, "finished"),
        (4, "finished"),
    ]
    assert sum("  finished  " in text for text in run.logged) == 3
    assert sum("died (exit code -9) in trial" in text for text in run.logged) == 1


def test_a_port_in_use_is_refused_by_search(features, new_run, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        for name, value in {"ORACLE_IP": "127.0.0.1", "ORACLE_PORT": str(port), "TUNER_ID": "chief"}.items():
            monkeypatch.setenv(f"KERASTUNER_{name}", value)
        with pytest.raises(
            ConfigurationError, match=rf"^configuration: cannot listen at 127\.0\.0\.1:{port}\n  Name another"
        ):
            run_search(features, tuning("grid", Space(units=[2])), new_run())
