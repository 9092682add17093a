"""TFMA metrics that TFMA lacks. An EvalConfig that names them runs in TFMA wherever this package is installed.

The line computes them by batch (`components._evaluation.evaluator`); these definitions compute the same by example.
"""

from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma

from components._evaluation import metrics


class Figure(beam.CombineFn):
    """One of `Sums.metrics` over a slice."""

    def __init__(self, key: Any, eval_config: Any, classes: int, confidence: float | None, min_examples: int) -> None:
        self.key, self.eval_config = key, eval_config
        self.classes, self.confidence, self.min_examples = classes, confidence, min_examples

    def create_accumulator(self) -> metrics.Sums:
        return metrics.Sums.empty()

    def add_input(self, accumulator: metrics.Sums, element: Any) -> metrics.Sums:
        pairs = tfma.metrics.to_label_prediction_example_weight(
            element, self.eval_config, self.key.model_name, flatten=False
        )
        for label, prediction, _ in pairs:
            accumulator = accumulator + metrics.Sums.of(
                label.reshape(-1).astype(np.int64), prediction.reshape(1, -1), self.classes
            )
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[metrics.Sums]) -> metrics.Sums:
        return metrics.Sums.merged(accumulators)

    def extract_output(self, accumulator: metrics.Sums) -> dict[Any, float]:
        bounds = {} if self.confidence is None else {self.key.name: self.confidence}
        return {self.key: accumulator.metrics(bounds, self.min_examples)[self.key.name]}


def _computations(
    name: str,
    classes: int,
    confidence: float | None,
    min_examples: int,
    eval_config: Any = None,
    model_name: str = "",
) -> list[Any]:
    key = tfma.metrics.MetricKey(name, model_name=model_name)
    combiner = Figure(key, eval_config, classes, confidence, min_examples)
    return [tfma.metrics.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]


class OfSums(tfma.metrics.Metric):
    """A metric that `Sums.metrics` gives under `name`."""

    def __init__(self, name: str, classes: int, confidence: float | None = None, min_examples: int = 1) -> None:
        settings = {"name": name, "classes": classes, "confidence": confidence, "min_examples": min_examples}
        super().__init__(tfma.metrics.merge_per_key_computations(_computations), **settings)


class BrierScore(OfSums):
    """Mean squared distance of the probabilities to the one-hot label, 0 to 2 (Brier 1950)."""


class ExpectedCalibrationError(OfSums):
    """Mean distance between confidence and accuracy, over bins of confidence (Guo et al. 2017)."""


class AccuracyUpperBound(OfSums):
    """One-sided upper confidence bound of accuracy (Clopper and Pearson 1934); 1 where there are too few examples."""
