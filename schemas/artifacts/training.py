"""Artifacts of transform, tune and train."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from schemas.artifacts.base import Artifact, Sharded
from schemas.model_input import ModelInput
from schemas.settings.train import Train

HYPERPARAMETERS, TRIALS, HISTORY = "hyperparameters.json", "trials.json", "history.json"


@dataclass(frozen=True)
class Features(Sharded):
    """Images of train and validation at the model's size, and the preprocessing graph.

    Files: `transform_fn/`, `transformed_metadata/` and `metadata/` (a tf.Transform output), and the shards.
    """

    interpreted: ClassVar[tuple[str, ...]] = ("transform_fn/",)

    shape: tuple[int, int, int]  # height, width, channels
    classes: int  # number of classes
    one_hot: bool  # whether labels are one-hot vectors
    graph: str = ""  # digest of what `transform_fn/` computes
    pixels: bool = True  # False: shards hold images as they are recorded, which are decoded while training
    model_input: ModelInput | None = None  # how images of records became the features; None in versions before 0.2


@dataclass(frozen=True)
class Search(Artifact):
    """The hyperparameters that did best on the validation split.

    Files: `hyperparameters.json` (settings of training with the best values), `trials.json` (a row for each trial:
    values, score, epochs, seconds, state), `logs/` (TensorBoard's HParams).
    """

    trials: int  # number of trials
    best: str  # the trial that won
    accuracy: float  # its validation accuracy, in [0, 1]

    def settings(self) -> Train:
        """The settings of training with the best values."""
        return Train.model_validate(self.read_json(HYPERPARAMETERS, dict))

    def rows(self) -> list[dict[str, Any]]:
        """A row for each trial, the best first; trials without a score last."""
        rows: list[dict[str, Any]] = self.read_json(TRIALS, list)
        return sorted(rows, key=lambda row: -1.0 if row["score"] is None else row["score"], reverse=True)

    @staticmethod
    def write_rows(out: Path, rows: list[dict[str, Any]]) -> None:
        (out / TRIALS).write_text(json.dumps(rows, indent=2), encoding="utf-8")


@dataclass(frozen=True)
class Hyperparameters(Artifact):
    """The settings that training uses. Files: `hyperparameters.json`."""

    origin: str  # "configured", or the search that found them

    @property
    def summary(self) -> str:
        return f"hyperparameters, {self.origin}"

    def settings(self) -> Train:
        return Train.model_validate(self.read_json(HYPERPARAMETERS, dict))


@dataclass(frozen=True)
class Model(Artifact):
    """A trained classifier.

    Files: `saved_model/` (signatures `serving_default`, `images` and, for encoded images, `bytes`), `model.keras`,
    `history.json`, `curves.svg`, `logs/` (TensorBoard).
    """

    epochs: int  # number of epochs that were trained
    validation_accuracy: float  # of the weights that were kept, in [0, 1]
    identity: str = ""  # digest of what it computes: equal for models that differ only in their bytes

    @property
    def summary(self) -> str:
        return f"{self.epochs} epochs, validation accuracy {self.validation_accuracy:.4f}"

    def history(self) -> list[dict[str, float]]:
        """A row for each epoch: loss, accuracy, val_loss, val_accuracy."""
        return self.read_json(HISTORY, list)

    @staticmethod
    def write_history(out: Path, rows: list[dict[str, float]]) -> None:
        (out / HISTORY).write_text(json.dumps(rows, indent=2), encoding="utf-8")
