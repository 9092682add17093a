"""Private parts of keras-tuner that a resumable, parallel search needs.

Each has a canary test in `tests/components/test_tuning_compat.py`.
"""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from etils import epy

from schemas.disk import write_json

with epy.lazy_imports():
    import keras_tuner
    from keras_tuner.src import protos
    from keras_tuner.src.distribute import oracle_chief


def set_directory(oracle: "keras_tuner.Oracle", directory: Path, name: str) -> None:
    """Sets where the oracle stores its state. keras-tuner's Tuner does it, but only after it has asked for trials."""
    oracle._set_project_dir(str(directory), name)


def state_file(oracle: "keras_tuner.Oracle") -> Path:
    """The file that `oracle.reload()` reads."""
    return Path(oracle._get_oracle_fname())


def retry_queue(oracle: "keras_tuner.Oracle") -> list[str]:
    """The numbers of the trials that are handed out again, next."""
    return oracle._retry_queue


def set_retry_queue(oracle: "keras_tuner.Oracle", trials: Iterable[str]) -> None:
    oracle._retry_queue = list(trials)


def is_duplicate(oracle: "keras_tuner.Oracle", values: dict[str, Any]) -> bool:
    """True if a trial with these values exists."""
    return oracle._duplicate(values)


@functools.cache
def durable(kind: Any) -> Any:
    """A subclass of the oracle class `kind` that replaces its files as a whole.

    keras-tuner writes in place, so a kill can leave half a file.
    """

    class Durable(kind):  # type: ignore[misc]
        def save(self) -> None:
            write_json(state_file(self), self.get_state())

        def _save_trial(self, trial: Any) -> None:
            write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    return Durable


def add_service(oracle: "keras_tuner.Oracle", server: Any) -> Any:
    """Registers keras-tuner's gRPC service for `oracle` with a gRPC server, and returns the service.

    keras-tuner's own server loop polls every 20 seconds, and waits forever for a worker that died.
    """
    servicer = oracle_chief.OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    return servicer
