"""validate: leakage, duplicates and images of one colour, at the severities of the configuration."""

import json

import pytest

from components.describe import describe
from components.validate import validate
from schemas.settings.validate import Validate
from tests.components import pictures
from tests.components.verdicts import ERROR, OWN, QUIET, WARNING, kinds, proto, three_splits
from tests.conftest import lent


def oddities(path):
    """Two copies within train, three test images that stand in train and one in validation, one image of one colour."""

    def change(split, images, labels):
        if split == "train":
            images[:3] = images[0]
            images[50] = 130
        if split == "test":
            images[:3] = pictures.pictures(300, seed=0)[0][10:13]
            images[3] = pictures.pictures(60, seed=1)[0][5]
        return images, labels

    return three_splits(path, change)


ODDITIES = {
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
def odd(tmp_path_factory):
    """Their statistics, computed once."""
    folder = tmp_path_factory.mktemp("odd")
    return describe.function(oddities(folder), run=lent(folder / "run"))


@pytest.mark.parametrize("severity", ["ignore", "warning", "error"])
@pytest.mark.parametrize("check", ODDITIES)
def test_an_oddity_is_said_at_the_severity_that_is_set(check, severity, odd, lend):
    run = lend()
    verdict = validate.function(odd, None, contract=OWN, checks=QUIET.model_copy(update={check: severity}), run=run)
    place, words = ODDITIES[check]
    assert verdict.passed == (severity != "error")
    assert set(verdict.reasons) == (set(words) if severity == "error" else set())
    assert set(verdict.warnings) == (set(words) if severity == "warning" else set())
    assert set(run.logged) == ({f"warning: {each}" for each in words} if severity == "warning" else set())
    expected = {"warning": WARNING, "error": ERROR}
    assert kinds(verdict) == (
        {} if severity == "ignore" else {place: [("UNKNOWN_TYPE", expected[severity])] * len(words)}
    )


def test_oddities_are_warnings_unless_the_configuration_says_otherwise(odd, lend):
    verdict = validate.function(odd, None, contract=OWN, checks=Validate(), run=lend())
    assert verdict.passed
    assert set(verdict.warnings) == {each for _, words in ODDITIES.values() for each in words}


def test_the_graver_severity_of_one_feature_stands_in_the_proto(odd, lend):
    verdict = validate.function(odd, None, contract=OWN, checks=Validate(constant="error"), run=lend())
    info = proto(verdict).anomaly_info["train/image"]
    assert info.severity == ERROR
    assert info.description == "train: 2 images are copies of another one; train: 1 images have a single colour"
    assert list(info.path.step) == ["image"]


def test_findings_stand_in_json_as_in_the_verdict(odd, lend):
    verdict = validate.function(odd, None, contract=OWN, checks=Validate(leakage="error"), run=lend())
    found = json.loads((verdict.path / "anomalies.json").read_text(encoding="utf-8"))
    assert [row["words"] for row in found if row["severity"] == "error"] == list(verdict.reasons)
    assert [row["words"] for row in found if row["severity"] == "warning"] == list(verdict.warnings)
    assert {(row["split"], row["feature"]) for row in found} == {("train", "image"), ("test", "image")}
