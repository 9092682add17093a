"""validate: splits compared with train, and train with the data of the served model."""

import shutil

import numpy as np
import pytest

from components.describe import describe
from schemas import statistics as stats
from schemas.artifacts import Served
from schemas.contract import Contract
from schemas.settings.validate import Validate
from tests.components.verdicts import ERROR, OWN, QUIET, WARNING, darker, in_test, judged, kinds, three_splits
from tests.conftest import lent


def skewed_labels(images, labels):
    return images, np.where(np.arange(len(labels)) < 50, 0, labels)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (skewed_labels, "COMPARATOR_L_INFTY_HIGH", "test against train: the share of label 0 differs by 0."),
        (
            darker,
            "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
            "test against train: pixel values differ by a Jensen-Shannon ",
        ),
    ],
)
def test_a_split_unlike_train_is_refused(fault, kind, words, tmp_path, lend):
    verdict = judged(three_splits(tmp_path, in_test(fault)), lend(), checks=Validate())
    (reason,) = verdict.reasons
    assert reason.startswith(words)
    assert "own.pbtxt allows 0.0" in reason
    assert [found for place in kinds(verdict).values() for found in place] == [(kind, ERROR)]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A version in a serving directory whose model was made from darker images."""
    folder = tmp_path_factory.mktemp("served")
    before = three_splits(folder, lambda split, images, labels: darker(images, labels))
    described = describe.function(before, run=lent(folder / "run"))
    (folder / "7" / stats.SERVED).parent.mkdir(parents=True)
    shutil.copy(described.path / "stats.tfrecord", folder / "7" / stats.SERVED)
    return Served(folder / "7", digest="d", version=7)


@pytest.mark.parametrize("severity", ["ignore", "warning", "error"])
def test_data_unlike_that_of_the_served_model_is_said_at_the_severity_that_is_set(severity, served, tmp_path, lend):
    run = lend()
    verdict = judged(three_splits(tmp_path), run, checks=QUIET.model_copy(update={"drift": severity}), served=served)
    said = {"warning": verdict.warnings, "error": verdict.reasons}.get(severity)
    assert verdict.passed == (severity != "error")
    if severity == "ignore":
        assert (verdict.warnings, verdict.reasons, kinds(verdict), run.logged) == ((), (), {}, [])
        return
    (words,) = said
    assert words.startswith("train against version 7's: pixel values differ by a Jensen-Shannon divergence of 0.")
    assert run.logged == ([f"warning: {words}"] if severity == "warning" else [])
    expected = {"warning": WARNING, "error": ERROR}[severity]
    assert kinds(verdict) == {"train/image": [("COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH", expected)]}


def test_data_like_that_of_the_served_model_is_no_drift(served, tmp_path, lend):
    made = three_splits(tmp_path, lambda split, images, labels: darker(images, labels))
    assert judged(made, lend(), checks=Validate(drift="error"), served=served).passed


def test_a_served_version_without_statistics_is_no_drift(tmp_path, lend):
    verdict = judged(three_splits(tmp_path), lend(), checks=Validate(drift="error"), served=Served(tmp_path, version=3))
    assert verdict.passed


def test_a_contract_without_comparators_compares_nothing(tmp_path, lend):
    text = "\n".join(line for line in OWN.text.split("\n") if "comparator" not in line)
    verdict = judged(
        three_splits(tmp_path, in_test(darker)), lend(), contract=Contract("own.pbtxt", text), checks=Validate()
    )
    assert verdict.passed
