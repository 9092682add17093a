"""validate: leakage, duplicates and constant images, with the configured severities."""

import json

import pytest

from components.describe import describe
from components.validate import validate
from schemas.settings.validate import Validate
from tests.components import pictures
from tests.components.verdicts import ERROR, IGNORE_ALL, OWN, WARNING, kinds, proto, three_splits
from tests.conftest import folder_run


def with_problems(path):
    """Two copies in train, three test images that are in train and one in validation, one constant image."""

    def change(split, images, labels):
        if split == "train":
            images[:3] = images[0]
            images[50] = 130
        if split == "test":
            images[:3] = pictures.pictures(300, seed=0)[0][10:13]
            images[3] = pictures.pictures(60, seed=1)[0][5]
        return images, labels

    return three_splits(path, change)


PROBLEMS = {
    "leakage": (
        "test/image",
        [
            "test: 3 images are also in train; they are excluded from the test metrics",
            "test: 1 images are also in validation; they are excluded from the test metrics",
        ],
    ),
    "duplicates": ("train/image", ["train: 2 images are copies of another one"]),
    "constant": ("train/image", ["train: 1 images have a single colour"]),
}


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    """The statistics of examples with all problems, computed once."""
    folder = tmp_path_factory.mktemp("odd")
    return describe.function(with_problems(folder), run=folder_run(folder / "run"))


@pytest.mark.parametrize("severity", ["ignore", "warning", "error"])
@pytest.mark.parametrize("check", PROBLEMS)
def test_a_problem_has_the_configured_severity(check, severity, statistics, new_run):
    run = new_run()
    verdict = validate.function(
        statistics, None, contract=OWN, checks=IGNORE_ALL.model_copy(update={check: severity}), run=run
    )
    path, messages = PROBLEMS[check]
    assert verdict.passed == (severity != "error")
    assert set(verdict.reasons) == (set(messages) if severity == "error" else set())
    assert set(verdict.warnings) == (set(messages) if severity == "warning" else set())
    assert set(run.logged) == ({f"warning: {message}" for message in messages} if severity == "warning" else set())
    expected = {"warning": WARNING, "error": ERROR}
    assert kinds(verdict) == (
        {} if severity == "ignore" else {path: [("UNKNOWN_TYPE", expected[severity])] * len(messages)}
    )


def test_problems_are_warnings_by_default(statistics, new_run):
    verdict = validate.function(statistics, None, contract=OWN, checks=Validate(), run=new_run())
    assert verdict.passed
    assert set(verdict.warnings) == {message for _, messages in PROBLEMS.values() for message in messages}


def test_the_proto_has_the_higher_severity_of_a_feature(statistics, new_run):
    verdict = validate.function(statistics, None, contract=OWN, checks=Validate(constant="error"), run=new_run())
    info = proto(verdict).anomaly_info["train/image"]
    assert info.severity == ERROR
    assert info.description == "train: 2 images are copies of another one; train: 1 images have a single colour"
    assert list(info.path.step) == ["image"]


def test_anomalies_in_json_equal_those_of_the_verdict(statistics, new_run):
    verdict = validate.function(statistics, None, contract=OWN, checks=Validate(leakage="error"), run=new_run())
    anomalies = json.loads((verdict.path / "anomalies.json").read_text(encoding="utf-8"))
    assert [row["words"] for row in anomalies if row["severity"] == "error"] == list(verdict.reasons)
    assert [row["words"] for row in anomalies if row["severity"] == "warning"] == list(verdict.warnings)
    assert {(row["split"], row["feature"]) for row in anomalies} == {("train", "image"), ("test", "image")}
