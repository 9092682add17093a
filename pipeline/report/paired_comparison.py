"""Paired comparison of the models of two runs, on the same test images.

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
            ConfigurationError: the run has none, or it was deleted or is damaged.
        """
        recorded = self.artifacts.last(Evaluation)
        if recorded is None:
            cause = f"{self.name} has no evaluation: it ended as {self.run['state']}"
            raise ConfigurationError(cause, "Name a run that reached the gates.")
        stored = self.artifacts.stored(Evaluation)
        if stored is None:
            row = self.artifacts.row(Evaluation) or {}
            is_missing = row.get("stage") in self.artifacts.missing
            problem = "was deleted from the store or replaced" if is_missing else "is damaged"
            raise ConfigurationError(f"the evaluation of {self.name} {problem}", f"Recreate it: {self.run['command']}")
        return stored

    def leaked(self) -> frozenset[int]:
        """Indices of the test images that the run also trained on.

        Raises:
            ConfigurationError: they are unknown. Including them would favour the model that trained on them.
        """
        described = self.artifacts.stored(Statistics)
        try:
            return described.leaked() if described else frozenset()
        except DamagedFile as error:
            stage = (self.artifacts.row(Statistics) or {}).get("stage")
            if error.file not in (self.artifacts.manifest(str(stage)) or {}).get("files", {}):
                return frozenset()  # an older version of gateline, which did not detect them
            cause = f"{error.file} of {self.name} cannot be read: which test images it also trained on is unknown"
            raise ConfigurationError(cause, f"Recreate it: {self.run['command']} --force {stage}") from None

    def correct(self, evaluation: Evaluation, excluded: frozenset[int]) -> "tuple[np.ndarray, np.ndarray]":
        """(sorted indices of the test images, int64 [n]; whether each prediction is correct, bool [n])."""
        try:
            table = evaluation.predictions()
        except DamagedFile as error:
            cause = f"the predictions of {self.name} cannot be read: {error.cause}"
            stage = (self.artifacts.row(Evaluation) or {}).get("stage")
            raise ConfigurationError(cause, f"Recreate them: {self.run['command']} --force {stage}") from None
        indices, column = table["index"].to_numpy(), table["probabilities"].combine_chunks()
        probabilities = column.values.to_numpy(zero_copy_only=False).reshape(len(indices), -1)
        correct = (probabilities.argmax(1) == table["label"].to_numpy()) & np.isfinite(probabilities).all(1)
        order = np.argsort(indices)
        order = order[~np.isin(indices[order], list(excluded))]
        return indices[order], correct[order]


def paired_comparison(old: Evaluated, new: Evaluated) -> Json:
    """Compares the new model with the old one, as JSON values, on the test images that neither run trained on.

    Margin and significance level are from `gates.paired` of the new run.

    Raises:
        ConfigurationError: an evaluation is missing or damaged, or the test images differ.
    """
    before, after = old.evaluation, new.evaluation
    mismatch = ConfigurationError(
        f"runs {old.run['run']} and {new.run['run']} were not evaluated on the same test images",
        "Compare runs of the same dataset and splits.",
    )
    if before.test != after.test:
        raise mismatch
    leaked = old.leaked() | new.leaked()
    (images, correct_before), (same, correct_after) = old.correct(before, leaked), new.correct(after, leaked)
    if not len(images) or not np.array_equal(images, same):
        raise mismatch
    settings = Paired.model_validate((new.run["config"].get("gates") or {}).get("paired") or {})
    result = paired.compare(correct_after, correct_before, margin=settings.margin, alpha=settings.alpha)
    return {**dataclasses.asdict(result), "interval": list(result.interval), "words": result.message(old.name)}
