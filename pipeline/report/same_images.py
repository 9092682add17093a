"""The paired comparison of two runs: which model is better on the same test images.

paired_comparison(Evaluated(run_3, artifacts_3), Evaluated(run_7, artifacts_7))["words"]   # "0.31 points better ..."
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from etils import epy

from components._evaluation import paired
from pipeline.runs.artifacts import RunArtifacts
from schemas.artifacts import DamagedFile, Evaluation, Statistics
from schemas.errors import ConfigurationError
from schemas.gates.paired import Paired

with epy.lazy_imports():
    import numpy as np

Json = dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """A run and its artifacts."""

    run: Json
    artifacts: RunArtifacts

    @property
    def name(self) -> str:
        return f"run {self.run['run']}"

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation, in the store.

        Raises:
            ConfigurationError: the run has none, or it is deleted or damaged.
        """
        recorded = self.artifacts.last(Evaluation)
        if recorded is None:
            cause = f"{self.name} has no evaluation: it ended as {self.run['state']}"
            raise ConfigurationError(cause, "Name a run that reached the gates.")
        stored = self.artifacts.stored(Evaluation)
        if stored is None:
            row = self.artifacts.row(Evaluation) or {}
            gone = row.get("stage") in self.artifacts.missing
            lost = "is gone from the store, or was made again since" if gone else "is damaged"
            raise ConfigurationError(f"the evaluation of {self.name} {lost}", f"Make it again: {self.run['command']}")
        return stored

    def leaked(self) -> frozenset[int]:
        """Indices of the test images that the run also trained on.

        Raises:
            ConfigurationError: they are not known. Counting them would favour the model that trained on them.
        """
        described = self.artifacts.stored(Statistics)
        try:
            return described.leaked() if described else frozenset()
        except DamagedFile as error:
            stage = (self.artifacts.row(Statistics) or {}).get("stage")
            if error.file not in (self.artifacts.manifest(str(stage)) or {}).get("files", {}):
                return frozenset()  # an older version, which did not look for them
            cause = f"{error.file} of {self.name} cannot be read: which test images it also trained on is unknown"
            raise ConfigurationError(cause, f"Make it again: {self.run['command']} --force {stage}") from None

    def correct(self, evaluation: Evaluation, left_out: frozenset[int]) -> "tuple[np.ndarray, np.ndarray]":
        """Indices of the test images in order, int64 [n], and whether the prediction was correct, bool [n]."""
        try:
            table = evaluation.predictions()
        except DamagedFile as error:
            cause = f"the predictions of {self.name} cannot be read: {error.cause}"
            stage = (self.artifacts.row(Evaluation) or {}).get("stage")
            raise ConfigurationError(cause, f"Make them again: {self.run['command']} --force {stage}") from None
        indices, column = table["index"].to_numpy(), table["probabilities"].combine_chunks()
        probabilities = column.values.to_numpy(zero_copy_only=False).reshape(len(indices), -1)
        correct = (probabilities.argmax(1) == table["label"].to_numpy()) & np.isfinite(probabilities).all(1)
        order = np.argsort(indices)
        order = order[~np.isin(indices[order], list(left_out))]
        return indices[order], correct[order]


def paired_comparison(old: Evaluated, new: Evaluated) -> Json:
    """The new model against the old one as JSON values, on the test images that neither run trained on.

    Margin and level are those of the new run's `gates.paired`.

    Raises:
        ConfigurationError: an evaluation is absent, deleted or damaged, or the test images differ.
    """
    before, after = old.evaluation, new.evaluation
    other_images = ConfigurationError(
        f"runs {old.run['run']} and {new.run['run']} were not evaluated on the same test images",
        "Compare runs of the same dataset and splits.",
    )
    if before.test != after.test:
        raise other_images
    leaked = old.leaked() | new.leaked()
    (images, correct_before), (same, correct_after) = old.correct(before, leaked), new.correct(after, leaked)
    if not len(images) or not np.array_equal(images, same):
        raise other_images
    settings = Paired.model_validate((new.run["config"].get("gates") or {}).get("paired") or {})
    result = paired.compare(correct_after, correct_before, margin=settings.margin, alpha=settings.alpha)
    return {**dataclasses.asdict(result), "interval": list(result.interval), "words": result.words(old.name)}
