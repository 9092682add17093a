"""The trials of a search. Each is a training like any other; its result goes to the oracle.

run(Work(features, settings, tuning, directory), oracle, log)    # until the oracle has no more trials
python -m components._tuning.trials                              # the same in a process of its own, for a chief

That process reads a `Work` as one line of JSON from standard input, and ends when standard input closes. It writes its
progress to standard output.
"""

import dataclasses
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etils import epy

from components._training import memory
from components._training.training import Training
from components._tuning import oracles
from schemas.artifacts import Features
from schemas.errors import Refused
from schemas.process import prints_to_stderr
from schemas.settings.train import Train
from schemas.settings.tune import Tune, with_values

with epy.lazy_imports():
    import keras_tuner

Log = Callable[[str], None]
PAUSE = 0.05  # seconds between two requests to an oracle, which may have no trial until another one is finished


@dataclass(frozen=True)
class Work:
    """The input of a worker. `directory` holds the checkpoints of trials until the search is finished."""

    features: Features
    settings: Train
    tuning: Tune
    directory: Path

    def as_json(self) -> str:
        return json.dumps(
            {
                "features": dataclasses.asdict(self.features) | {"path": str(self.features.path.absolute())},
                "settings": self.settings.model_dump(mode="json"),
                "tuning": self.tuning.model_dump(mode="json"),
                "directory": str(self.directory.absolute()),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Work":
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_json(text)


def run(work: Work, oracle: "keras_tuner.Oracle", log: Log) -> None:
    """Runs trials until the oracle has no more. With KERASTUNER_ORACLE_IP set, the chief's oracle is asked.

    A trial that raises counts as failed, and the search continues.
    """
    with prints_to_stderr:  # keras-tuner prints
        _tuner()(work, oracle, log).search()


def _tuner() -> Any:
    class Trials(keras_tuner.engine.base_tuner.BaseTuner):  # type: ignore[misc]
        """keras-tuner's loop over the trials, with the line's own training."""

        def __init__(self, work: Work, oracle: Any, log: Log) -> None:
            self.work, self.log = work, log
            super().__init__(oracle, directory=str(work.directory), project_name=oracles.PROJECT)

        def pre_create_trial(self) -> None:
            time.sleep(PAUSE)

        def run_trial(self, trial: Any) -> dict[str, float]:
            try:
                return attempt(self.work, trial, self.log)
            except Exception:
                traceback.print_exc()  # the chief is not sent the error
                raise

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            if self.work.tuning.tuner != "hyperband":  # its later trials resume earlier ones
                _checkpoint(self.work, trial.trial_id).unlink(missing_ok=True)

        def save(self) -> None:
            """Nothing: the oracle saves itself."""

        def reload(self) -> None:
            """Nothing: the oracle was reloaded before."""

    return Trials


def attempt(work: Work, trial: Any, log: Log) -> dict[str, float]:
    """Trains with a trial's values and returns the metrics for the oracle. A model that cannot be used scores 0."""
    memory.release()
    started, values = time.monotonic(), trial.hyperparameters.values
    sampled = oracles.sampled_values(trial)
    settings = with_values(work.settings, sampled).model_copy(update={"epochs": work.tuning.max_epochs})
    until = values.get("tuner/epochs", work.tuning.max_epochs)
    checkpoint = _checkpoint(work, trial.trial_id)
    earlier = _checkpoint(work, values.get("tuner/trial_id") or "none")
    if earlier.exists() and not checkpoint.exists():
        shutil.copyfile(earlier, checkpoint.with_suffix(".copy"))
        checkpoint.with_suffix(".copy").replace(checkpoint)

    def report(state: str, score: float, epochs: int) -> dict[str, float]:
        seconds = time.monotonic() - started
        values_text = ", ".join(f"{name} {_value_text(value)}" for name, value in sampled.items())
        accuracy = f"{score:.4f}" if epochs else "-"
        log(f"trial {trial.trial_id}  {state}  {epochs}/{until}  {accuracy}  {seconds:.1f} s  {values_text}")
        return {oracles.SCORE: score, "epochs": epochs, "seconds": seconds, "diverged": float(state == "diverged")}

    training = Training(work.features, settings, checkpoint)
    if work.tuning.parameters and training.network.count_params() > work.tuning.parameters:
        return report("too large", 0.0, 0)
    report("running", 0.0, len(training.history))
    try:
        for row in training.epochs(until):
            report("running", row["val_accuracy"], len(training.history))
    except Refused:
        return report("diverged", 0.0, len(training.history))
    return report("finished", round(training.finish()["val_accuracy"], 6), len(training.history))


def _value_text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _checkpoint(work: Work, trial: str) -> Path:
    return work.directory / f"trial-{trial}.npz"


def main() -> None:
    """Runs a worker. keras-tuner's environment variables hold its name and the chief's address."""
    work = Work.from_json(sys.stdin.readline())

    def end_with_the_chief() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=end_with_the_chief, daemon=True).start()
    answers = sys.stdout
    run(
        work,
        oracles.make(work.tuning, work.tuning.over(work.settings)),
        lambda text: print(text, file=answers, flush=True),
    )


if __name__ == "__main__":
    main()
    os._exit(0)  # TensorFlow needs two seconds to shut down
