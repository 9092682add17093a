"""The TensorFlow Model Analysis configuration of the gates."""

import dataclasses
import json

import pytest

from components._evaluation.thresholds import eval_config
from schemas.settings.gates import Gates
from tests.components.evaluations import PLAN


def test_the_tfma_configuration_contains_every_gate():
    gates = Gates(
        accuracy=0.9,
        per_class=0.8,
        drop=0.03125,
        ece=0.1,
        slices={"ink": 0.7, "label=2, ink": 0.6},
        corruptions={"blur": 0.5},
    )
    plan = dataclasses.replace(PLAN, classes=3, slicings=(("label",), ("ink",), ("label", "ink")))
    config = eval_config(gates, plan, ["candidate", "baseline", "best"])
    candidate_spec, best_spec = config.metrics_specs
    assert (list(candidate_spec.model_names), list(best_spec.model_names)) == (["candidate", "baseline"], ["best"])
    accuracy, upper, brier, ece = candidate_spec.metrics[:4]
    (overall,) = accuracy.per_slice_thresholds
    assert overall.threshold.value_threshold.lower_bound.value == 0.9
    assert overall.threshold.change_threshold.absolute.value == pytest.approx(-0.03125)
    floors = [
        (
            dict(t.slicing_specs[0].feature_values),
            list(t.slicing_specs[0].feature_keys),
            t.threshold.value_threshold.lower_bound.value,
        )
        for t in upper.per_slice_thresholds
    ]
    labels = [({"label": str(k)}, [], 0.8) for k in range(3)]
    assert floors == [({"corruption": "blur"}, [], 0.5), *labels, ({}, ["ink"], 0.7), ({"label": "2"}, ["ink"], 0.6)]
    assert ece.per_slice_thresholds[0].threshold.value_threshold.upper_bound.value == 0.1
    assert not brier.per_slice_thresholds
    assert not any(m.per_slice_thresholds for m in best_spec.metrics)
    without_baseline = eval_config(gates, plan, ["candidate"]).metrics_specs[0].metrics[0]
    assert not without_baseline.per_slice_thresholds[0].threshold.HasField("change_threshold")


def test_bounds_of_slices_state_their_confidence_and_the_stricter_of_two_floors():
    gates = Gates(
        accuracy=0.9, per_class=0.6, slices={"label=1": 0.8, "label=2": 0.5, "ink": 0.7}, corruptions={"blur": 0.5}
    )
    plan = dataclasses.replace(
        PLAN, classes=6, unused=(4,), slicings=(("label",), ("ink",)), images=9000, values={"label": 5, "ink": 3}
    )
    uppers = [
        (config["name"], config["confidence"], metric.per_slice_thresholds)
        for metric in eval_config(gates, plan, ["candidate"]).metrics_specs[0].metrics
        if "confidence" in (config := json.loads(metric.config))
    ]
    (accuracy, level, blurred), (of_five, five, floors) = uppers
    assert (accuracy, level, len(blurred)) == ("accuracy_upper_bound", 0.95, 1)
    assert (of_five, five) == ("accuracy_upper_bound_of_5", pytest.approx(0.99))
    stated = {
        str(dict(floor.slicing_specs[0].feature_values) or list(floor.slicing_specs[0].feature_keys)): (
            floor.threshold.value_threshold.lower_bound.value
        )
        for floor in floors
    }
    assert stated == {
        "{'label': '0'}": 0.6,
        "{'label': '1'}": 0.8,
        "{'label': '2'}": 0.6,
        "{'label': '3'}": 0.6,
        "{'label': '5'}": 0.6,
        "['ink']": 0.7,
    }
