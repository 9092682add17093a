"""The paired test of the models of two runs, on the same test images.

paired_test(Evaluated(run_3, artifacts_3), Evaluated(run_7, artifacts_7)).verdict     # "better"
"""

from dataclasses import dataclass
from typing import Any

from etils import epy

from components._evaluation import paired
from pipeline.runs.artifacts import StoredArtifacts
from schemas import files
from schemas.artifacts import DamagedFile, Evaluation, PairedTest, Statistics
from schemas.errors import ConfigurationError
from schemas.gates.paired import Paired

with epy.lazy_imports():
    import numpy as np

Json = dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """A run and its artifacts."""

    run: Json
    artifacts: StoredArtifacts

    @property
    def name(self) -> str:
        return f"run {self.run['run']}"

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation, in the store.

        Raises:
            ConfigurationError: the run has none, or it was deleted or is damaged.
        """
        stored, row = self.artifacts.stored(Evaluation), self.artifacts.row(Evaluation)
        if row is None:
            cause = f"{self.name} has no evaluation: it ended as {self.run['state']}"
            raise ConfigurationError(cause, "Name a run that reached the gates.")
        if stored is None:
            is_missing = row["stage"] in self.artifacts.missing
            problem = "was deleted from the store or replaced" if is_missing else "is damaged"
            raise ConfigurationError(f"the evaluation of {self.name} {problem}", f"Recreate it: {self.run['command']}")
        return stored

    def leaked(self) -> frozenset[int]:
        """Indices of the test images that the run also trained on.

        Raises:
            ConfigurationError: they are unknown. Including them would favour the model that trained on them.
        """
        described = self.artifacts.stored(Statistics)
        if described is None:
            return frozenset()
        try:
            return described.leaked()
        except DamagedFile as error:
            stage = files.stage_of(described.path) or ""
            if not self.artifacts.is_damage(stage, error):
                return frozenset()  # an older version of gateline, which did not detect them
            cause = f"{error.file} of {self.name} cannot be read: which test images it also trained on is unknown"
            raise ConfigurationError(cause, f"Recreate it: {self._again(stage)}") from None

    def correct(self, evaluation: Evaluation, excluded: frozenset[int]) -> "tuple[np.ndarray, np.ndarray]":
        """(sorted indices of the test images, int64 [n]; whether each prediction is correct, bool [n])."""
        try:
            table = evaluation.predictions()
        except DamagedFile as error:
            cause = f"the predictions of {self.name} cannot be read: {error.cause}"
            again = self._again(files.stage_of(evaluation.path))
            raise ConfigurationError(cause, f"Recreate them: {again}") from None
        indices, column = table["index"].to_numpy(), table["probabilities"].combine_chunks()
        probabilities = column.values.to_numpy(zero_copy_only=False).reshape(len(indices), -1)
        correct = (probabilities.argmax(1) == table["label"].to_numpy()) & np.isfinite(probabilities).all(1)
        order = np.argsort(indices)
        order = order[~np.isin(indices[order], list(excluded))]
        return indices[order], correct[order]

    def _again(self, stage: str | None) -> str:
        """The command that makes the artifact of a stage again."""
        return f"{self.run['command']} --force {stage}"


def paired_test(old: Evaluated, new: Evaluated) -> PairedTest:
    """Compares the new model with the old one, on the test images that neither run trained on.

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
    return paired.compare(correct_after, correct_before, margin=settings.margin, alpha=settings.alpha)
