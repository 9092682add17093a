"""keras-tuner's oracles over a `Space`: they choose the values of each trial, and survive a kill at any moment.

oracle = restore(Tune(tuner="hyperband"), Space(units=[64, 128]), scratch)
rows(oracle)   # [{"trial": "0000", "values": {"units": 64}, "score": 0.97, "epochs": 4, "state": "finished", ...}, ...]
"""

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

from components._tuning import compat
from schemas.settings.tune import Range, Space, Tune

with epy.lazy_imports():
    import keras_tuner

PROJECT = "search"
SCORE = "val_accuracy"


def restore(tuning: Tune, space: Space, directory: Path) -> "keras_tuner.Oracle":
    """The oracle as it was when the search was killed, which retries that trial first; or a new one."""
    oracle = make(tuning, space)
    compat.set_directory(oracle, directory, PROJECT)
    if compat.state_file(oracle).exists():
        oracle.reload()
        # A kill between the writes of a trial and of the oracle leaves a trial that the oracle does not know.
        oracle.trials = {number: trial for number, trial in oracle.trials.items() if number in oracle.start_order}
        # The oracle's file lists a finished trial as running until the next one starts.
        running = [number for number in compat.retry_queue(oracle) if oracle.trials[number].status == "RUNNING"]
        compat.set_retry_queue(oracle, running)
    return oracle


def make(tuning: Tune, space: Space) -> "keras_tuner.Oracle":
    """A new oracle that maximizes validation accuracy.

    Hyperband is Li et al., 2018; it repeats its brackets until `trials` are used up. Bayesian is a Gaussian process
    with an upper confidence bound; it starts with random trials, at most a third of all.
    """
    kinds = {"hyperband": _hyperband, "bayesian": _bayesian, "random": _random, "grid": _grid}
    oracle = kinds[tuning.tuner](
        tuning,
        space,
        objective=keras_tuner.Objective(SCORE, "max"),
        hyperparameters=declared(space),
        seed=tuning.seed,
        max_consecutive_failed_trials=None,  # the error it raises would leave the oracle's lock locked
    )
    oracle.verbose = 0
    return oracle


def _hyperband(tuning: Tune, space: Space, **common: Any) -> "keras_tuner.Oracle":
    kind = compat.durable(keras_tuner.oracles.HyperbandOracle)
    oracle = kind(max_epochs=tuning.max_epochs, hyperband_iterations=None, **common)
    oracle.max_trials = tuning.trials
    return oracle


def _bayesian(tuning: Tune, space: Space, **common: Any) -> "keras_tuner.Oracle":
    random_first = max(3, min(3 * len(space.named()), tuning.trials // 3))
    kind = compat.durable(keras_tuner.oracles.BayesianOptimizationOracle)
    return kind(max_trials=tuning.trials, num_initial_points=random_first, **common)


def _random(tuning: Tune, space: Space, **common: Any) -> "keras_tuner.Oracle":
    return compat.durable(keras_tuner.oracles.RandomSearchOracle)(max_trials=tuning.trials, **common)


def _grid(tuning: Tune, space: Space, **common: Any) -> "keras_tuner.Oracle":
    return compat.durable(_grid_oracle())(max_trials=tuning.trials, **common)


def declared(space: Space) -> "keras_tuner.HyperParameters":
    """The space as keras-tuner's hyperparameters."""
    hyperparameters = keras_tuner.HyperParameters()
    for name, values in space.named().items():
        choices = values.listed() if isinstance(values, Range) else values
        if choices is None:
            declare = hyperparameters.Int if isinstance(values.min, int) else hyperparameters.Float
            declare(name, values.min, values.max, sampling="log" if values.log else "linear")
        else:
            hyperparameters.Choice(name, choices, ordered=isinstance(choices[0], int | float))
    return hyperparameters


def sampled_values(trial: "keras_tuner.engine.trial.Trial") -> dict[str, Any]:
    """A trial's values by names of `Space`, without Hyperband's own bookkeeping."""
    return {name: value for name, value in trial.hyperparameters.values.items() if not name.startswith("tuner/")}


def rows(oracle: "keras_tuner.Oracle") -> list[dict[str, Any]]:
    """A row for each trial, in the order in which they started."""
    return [_row(oracle.trials[number]) for number in oracle.start_order]


def _row(trial: Any) -> dict[str, Any]:
    def last(name: str) -> float:
        return float(trial.metrics.get_last_value(name)) if trial.metrics.exists(name) else 0.0

    state = "failed" if trial.status in ("FAILED", "INVALID") else "unfinished"
    if trial.status == "COMPLETED":
        state = "diverged" if last("diverged") else "finished" if last("epochs") else "too large"
    return {
        "trial": trial.trial_id,
        "values": sampled_values(trial),
        "score": trial.score if state == "finished" else None,
        "epochs": int(last("epochs")),
        "seconds": round(last("seconds"), 3),
        "state": state,
    }


@functools.cache
def _grid_oracle() -> Any:
    """An oracle that tries every combination once. keras-tuner's own raises KeyError after a reload."""

    class Grid(keras_tuner.Oracle):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            del trial_id
            for values in self._combinations():
                if not compat.is_duplicate(self, values):
                    return {"status": "RUNNING", "values": values}
            return {"status": "STOPPED"}

        def _combinations(self) -> Iterator[dict[str, Any]]:
            space = self.hyperparameters.space
            # keras-tuner gives ten values, unordered, for a range without a step.
            axes = (
                hp.values if isinstance(hp, keras_tuner.engine.hyperparameters.Choice) else sorted(hp.values)
                for hp in space
            )
            for values in itertools.product(*axes):
                yield dict(zip((hp.name for hp in space), values, strict=True))

    return Grid
