"""The artifact of evaluate."""

from dataclasses import dataclass

from schemas.artifacts.base import Gate


@dataclass(frozen=True)
class Evaluation(Gate):
    """What the accuracy gates saw and said.

    Files: `tfma/` (a complete TFMA output), `predictions/*.parquet` (index, label, probabilities, and those of the models it
    was compared with), `metrics.json`, `comparisons.json`, `gates.json`, `gallery.json` and `gallery.npy` (images worth seeing),
    `probes.tfrecord` and `probes.npy` (a few raw records and the probabilities given to them).
    """

    accuracy: float  # on the test split, in [0, 1]
    loss: float
    saved_model: str  # digest of the SavedModel that was evaluated
    test: str = ""  # digest of the test split
    baseline: int | None = None  # the version it was compared with
