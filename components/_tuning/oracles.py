"""What chooses the values of each trial: keras-tuner's oracles over a `Space`, made to outlive a kill at any moment.

oracle = resumed(Tune(tuner="hyperband"), Space(units=[64, 128]), scratch)
rows(oracle)   # [{"trial": "0000", "values": {"units": 64}, "score": 0.97, "epochs": 4, "seconds": 2.1, "state": "finished"}, ...]
"""

import functools
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

from schemas.settings.tune import Range, Space, Tune

with epy.lazy_imports():
    import keras_tuner

PROJECT = "search"
SCORE = "val_accuracy"


def resumed(tuning: Tune, space: Space, directory: Path) -> "keras_tuner.Oracle":
    """The oracle as it was when the search was killed, with that trial's values to be tried first; or a new one."""
    oracle = make(tuning, space)
    oracle._set_project_dir(str(directory), PROJECT)
    if Path(oracle._get_oracle_fname()).exists():
        oracle.reload()
        # A kill between the writing of a trial and of the oracle leaves a trial that the oracle never heard of.
        oracle.trials = {number: trial for number, trial in oracle.trials.items() if number in oracle.start_order}
        # A trial that is done is still written down as going on, until the next one begins.
        oracle._retry_queue = [number for number in oracle._retry_queue if oracle.trials[number].status == "RUNNING"]
    return oracle


def make(tuning: Tune, space: Space) -> "keras_tuner.Oracle":
    """A new oracle that looks for the highest validation accuracy.

    Hyperband is Li et al., 2018; it goes round its brackets until `trials` are used up. Bayesian is a Gaussian process with
    an upper confidence bound; a third of its trials, at most, are random ones to begin with.
    """
    given: dict[str, Any] = {
        "objective": keras_tuner.Objective(SCORE, "max"),
        "hyperparameters": declared(space),
        "seed": tuning.seed,
        "max_consecutive_failed_trials": None,  # what it raises would leave its lock locked
    }
    if tuning.tuner == "hyperband":
        oracle = _lasting(keras_tuner.oracles.HyperbandOracle)(
            max_epochs=tuning.max_epochs, hyperband_iterations=None, **given
        )
        oracle.max_trials = tuning.trials
    elif tuning.tuner == "bayesian":
        first = max(3, min(3 * len(space.named()), tuning.trials // 3))
        oracle = _lasting(keras_tuner.oracles.BayesianOptimizationOracle)(
            max_trials=tuning.trials, num_initial_points=first, **given
        )
    elif tuning.tuner == "random":
        oracle = _lasting(keras_tuner.oracles.RandomSearchOracle)(max_trials=tuning.trials, **given)
    else:
        oracle = _lasting(_grid())(max_trials=tuning.trials, **given)
    oracle.verbose = 0
    return oracle


def declared(space: Space) -> "keras_tuner.HyperParameters":
    """The space in keras-tuner's words."""
    found = keras_tuner.HyperParameters()
    for name, values in space.named().items():
        choices = values.listed() if isinstance(values, Range) else values
        if choices is None:
            declare = found.Int if isinstance(values.min, int) else found.Float
            declare(name, values.min, values.max, sampling="log" if values.log else "linear")
        else:
            found.Choice(name, choices, ordered=isinstance(choices[0], int | float))
    return found


def chosen(trial: "keras_tuner.engine.trial.Trial") -> dict[str, Any]:
    """A trial's values by names of `Space`; what hyperband notes for itself is left out."""
    return {name: value for name, value in trial.hyperparameters.values.items() if not name.startswith("tuner/")}


def rows(oracle: "keras_tuner.Oracle") -> list[dict[str, Any]]:
    """A row for each trial, in the order in which they began."""
    return [_row(oracle.trials[number]) for number in oracle.start_order]


def _row(trial: Any) -> dict[str, Any]:
    def last(name: str) -> float:
        return float(trial.metrics.get_last_value(name)) if trial.metrics.exists(name) else 0.0

    state = "failed" if trial.status in ("FAILED", "INVALID") else "unfinished"
    if trial.status == "COMPLETED":
        state = "diverged" if last("diverged") else "finished" if last("epochs") else "too large"
    return {
        "trial": trial.trial_id,
        "values": chosen(trial),
        "score": trial.score if state == "finished" else None,
        "epochs": int(last("epochs")),
        "seconds": round(last("seconds"), 3),
        "state": state,
    }


@functools.cache
def _lasting(kind: Any) -> Any:
    """`kind`, whose files are whole or absent. keras-tuner writes them in place, so that a kill may leave half of one."""

    class Lasting(kind):  # type: ignore[misc]
        def save(self) -> None:
            _write(Path(self._get_oracle_fname()), self.get_state())

        def _save_trial(self, trial: Any) -> None:
            _write(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    return Lasting


def _write(path: Path, state: Any) -> None:
    temporary = path.with_suffix(".part")
    with temporary.open("w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@functools.cache
def _grid() -> Any:
    """Every combination once. keras-tuner's own grid forgets where it stood when it is reloaded, and raises KeyError."""

    class Grid(keras_tuner.Oracle):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            del trial_id
            for values in self._combinations():
                if not self._duplicate(values):
                    return {"status": "RUNNING", "values": values}
            return {"status": "STOPPED"}

        def _combinations(self) -> Iterator[dict[str, Any]]:
            space = (
                self.hyperparameters.space
            )  # a range without a step gives ten values; keras-tuner has them in no order
            axes = (
                hp.values if isinstance(hp, keras_tuner.engine.hyperparameters.Choice) else sorted(hp.values)
                for hp in space
            )
            for values in itertools.product(*axes):
                yield dict(zip((hp.name for hp in space), values, strict=True))

    return Grid
