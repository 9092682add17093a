"""Canaries for the private parts of TensorFlow Model Analysis that `components._evaluation.compat` uses.

If one fails after an update, see in TFMA's source how its MetricsPlotsAndValidationsEvaluator does the same now,
and change only `compat.py`.
"""

import json

import pytest
import tensorflow_model_analysis as tfma

from components._evaluation import compat

PB = tfma.proto.config_pb2
KEY = tfma.metrics.MetricKey("accuracy", model_name="")


def config() -> "PB.EvalConfig":
    settings = json.dumps({"name": "accuracy"})
    metric = PB.MetricConfig(class_name="SparseCategoricalAccuracy", config=settings)
    metric.threshold.value_threshold.lower_bound.value = 0.9
    spec = PB.ModelSpec(signature_name="serving_default", label_key="label")
    return PB.EvalConfig(model_specs=[spec], metrics_specs=[PB.MetricsSpec(metrics=[metric])])


@pytest.mark.parametrize(("accuracy", "valid"), [(0.91, True), (0.89, False)])
def test_tfma_validates_metrics_that_it_did_not_compute(accuracy: float, valid: bool) -> None:
    assert compat.validate(((), {KEY: accuracy}), config()).validation_ok is valid


def test_tfma_names_the_metrics_of_a_configuration() -> None:
    assert compat.metric_names(config()) == {"accuracy"}
