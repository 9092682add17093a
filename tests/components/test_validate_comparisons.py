"""validate: splits compared with train, and train with the data of the served model."""

import shutil

import numpy as np
import pytest

from components.describe import describe
from schemas import statistics as stats
from schemas.artifacts import Served
from schemas.contract import Contract
from schemas.settings.validate import Validate
from tests.components.verdicts import ERROR, IGNORE_ALL, OWN, WARNING, darker, in_test, kinds, three_splits, validated
from tests.conftest import folder_run


def skewed_labels(images, labels):
    return images, np.where(np.arange(len(labels)) < 50, 0, labels)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (skewed_labels, "COMPARATOR_L_INFTY_HIGH", "test against train: the share of label 0 differs by 0."),
        (
            darker,
            "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
            "test against train: pixel values differ by a Jensen-Shannon ",
        ),
    ],
)
def test_a_split_that_differs_from_train_is_refused(change, kind, message, tmp_path, new_run):
    verdict = validated(three_splits(tmp_path, in_test(change)), new_run(), checks=Validate())
    (reason,) = verdict.reasons
    assert reason.startswith(message)
    assert "own.pbtxt allows 0.0" in reason
    assert [anomaly for anomalies in kinds(verdict).values() for anomaly in anomalies] == [(kind, ERROR)]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A served version whose model was trained on darker images."""
    folder = tmp_path_factory.mktemp("served")
    darker_examples = three_splits(folder, lambda split, images, labels: darker(images, labels))
    described = describe.function(darker_examples, run=folder_run(folder / "run"))
    (folder / "7" / stats.SERVED).parent.mkdir(parents=True)
    shutil.copy(described.path / "stats.tfrecord", folder / "7" / stats.SERVED)
    return Served(folder / "7", digest="d", version=7)


@pytest.mark.parametrize("severity", ["ignore", "warning", "error"])
def test_drift_from_the_served_model_has_the_configured_severity(severity, served, tmp_path, new_run):
    run = new_run()
    verdict = validated(
        three_splits(tmp_path), run, checks=IGNORE_ALL.model_copy(update={"drift": severity}), served=served
    )
    reported = {"warning": verdict.warnings, "error": verdict.reasons}.get(severity)
    assert verdict.passed == (severity != "error")
    if severity == "ignore":
        assert (verdict.warnings, verdict.reasons, kinds(verdict), run.logged) == ((), (), {}, [])
        return
    (message,) = reported
    assert message.startswith("train against version 7's: pixel values differ by a Jensen-Shannon divergence of 0.")
    assert run.logged == ([f"warning: {message}"] if severity == "warning" else [])
    expected = {"warning": WARNING, "error": ERROR}[severity]
    assert kinds(verdict) == {"train/image": [("COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH", expected)]}


def test_data_like_that_of_the_served_model_is_not_drift(served, tmp_path, new_run):
    examples = three_splits(tmp_path, lambda split, images, labels: darker(images, labels))
    assert validated(examples, new_run(), checks=Validate(drift="error"), served=served).passed


def test_a_served_version_without_statistics_is_not_drift(tmp_path, new_run):
    verdict = validated(
        three_splits(tmp_path), new_run(), checks=Validate(drift="error"), served=Served(tmp_path, version=3)
    )
    assert verdict.passed


def test_a_contract_without_comparators_compares_nothing(tmp_path, new_run):
    text = "\n".join(line for line in OWN.text.split("\n") if "comparator" not in line)
    verdict = validated(
        three_splits(tmp_path, in_test(darker)), new_run(), contract=Contract("own.pbtxt", text), checks=Validate()
    )
    assert verdict.passed
