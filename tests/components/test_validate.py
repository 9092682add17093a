"""validate: the data against its contract. Each fault is one anomaly, with its words and its severity."""

import dataclasses
import json
import shutil

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from google.protobuf import text_format
from scipy.spatial import distance
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components._data.anomalies import jensen_shannon, largest_difference
from components.describe import describe
from components.validate import validate
from schemas import statistics as stats
from schemas.artifacts import Served
from schemas.contract import Contract
from schemas.settings.validate import Validate
from tests.components import pictures

QUIET = Validate(skew="ignore", drift="ignore", leakage="ignore", duplicates="ignore", constant="ignore")
ERROR, WARNING = anomalies_pb2.AnomalyInfo.ERROR, anomalies_pb2.AnomalyInfo.WARNING
OWN = pictures.contract()


def judged(examples, run, *, contract=OWN, checks=QUIET, served=None):
    described = dataclasses.replace(describe.function(examples, run=run), digest="d")
    return validate.function(described, served, contract=contract, checks=checks, run=run)


def three(path, change=lambda split, images, labels: (images, labels), sizes=(300, 60, 60)):
    """Examples of three splits of sound pictures, after a change."""
    splits = {}
    for seed, (split, size) in enumerate(zip(("train", "validation", "test"), sizes, strict=True)):
        splits[split] = change(split, *pictures.pictures(size, seed=seed))
    return pictures.examples(path / "examples", **splits)


def in_test(fault):
    """A change of the test split alone."""
    return lambda split, images, labels: fault(images, labels) if split == "test" else (images, labels)


def proto(verdict):
    return text_format.Parse((verdict.path / "anomalies.pbtxt").read_text(encoding="utf-8"), anomalies_pb2.Anomalies())


def kinds(verdict):
    """{place: [(type, severity)]}, as TFDV reads the findings."""
    names = anomalies_pb2.AnomalyInfo.Type.Name
    return {
        place: [(names(r.type), info.severity) for r in info.reason]
        for place, info in proto(verdict).anomaly_info.items()
    }


def test_the_sample_keeps_its_contract(verdict, mnist):
    assert verdict.passed
    assert verdict.reasons == verdict.warnings == ()
    assert json.loads((verdict.path / "anomalies.json").read_text(encoding="utf-8")) == []
    assert proto(verdict).anomaly_info == {}
    assert proto(verdict).baseline == mnist.proto


def test_sound_colour_images_keep_their_contract(tmp_path, lend):
    strict = Validate(skew="error", drift="error", leakage="error", duplicates="error", constant="error")
    verdict = judged(three(tmp_path), lend(), checks=strict)
    assert verdict.passed, verdict.reasons


def test_images_of_another_size_are_refused(tmp_path, lend):
    verdict = judged(three(tmp_path, in_test(lambda images, labels: (images[:, :6], labels))), lend())
    assert not verdict.passed
    assert verdict.reasons == ("test: image/height is 6 (60 times); own.pbtxt allows 8",)
    assert verdict.remedy == "Fix the data or, if the data is correct, the contract (own.pbtxt). Nothing was trained."
    assert kinds(verdict) == {"test/image/height": [("INT_TYPE_SMALL_INT", ERROR)]}


def test_grey_images_where_colour_is_asked_for_are_refused(tmp_path, lend):
    verdict = judged(three(tmp_path, in_test(lambda images, labels: (images[..., :1], labels))), lend())
    assert verdict.reasons == ("test: image/channels is 1 (60 times); own.pbtxt allows 3",)


def test_a_label_outside_its_domain_is_refused(tmp_path, lend):
    def fault(images, labels):
        labels[[3, 4]] = [10, 3]
        return images, labels

    verdict = judged(three(tmp_path, in_test(fault)), lend())
    assert verdict.reasons == ("test: label is 10 (1 times), 3 (1 times); own.pbtxt allows 0 to 2",)
    assert kinds(verdict) == {"test/label": [("INT_TYPE_BIG_INT", ERROR)]}


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ("label", "train: 1 of 300 records lack label"),
        ("image", "train: 1 of 300 records lack image"),
        ("source/version", "train: 1 of 300 records lack source/version"),
    ],
)
def test_a_record_that_lacks_a_feature_is_refused(feature, words, tmp_path, lend):
    made = three(tmp_path)
    records = pictures.records(made, "train")
    records[11] = pictures.without(records[11], feature)
    pictures.write(made.path, "train", records)
    verdict = judged(made, lend())
    assert verdict.reasons == (words,)
    assert kinds(verdict) == {f"train/{feature}": [("FEATURE_TYPE_LOW_FRACTION_PRESENT", ERROR)]}


def test_a_label_that_no_record_has_is_refused(tmp_path, lend):
    made = three(tmp_path)
    pictures.write(made.path, "test", [pictures.without(r, "label") for r in pictures.records(made, "test")])
    verdict = judged(made, lend(), checks=Validate())
    assert "test: 60 of 60 records lack label" in verdict.reasons


def test_pixels_that_do_not_fill_the_image_are_refused(tmp_path, lend):
    made = three(tmp_path)
    records = pictures.records(made, "train")
    small = pictures.examples(tmp_path / "small", test=pictures.pictures(1, seed=1, shape=(8, 9, 3)))
    short = pictures.columns(small, "test")["image"][0]
    import tensorflow as tf

    message = tf.train.Example.FromString(records[5])
    message.features.feature["image"].bytes_list.value[0] = short
    records[5] = message.SerializeToString(deterministic=True)
    pictures.write(made.path, "train", records)
    verdict = judged(made, lend())
    assert verdict.reasons == ("train: 1 images do not hold height x width x channels bytes",)
    assert kinds(verdict) == {"train/image": [("LOW_SUPPORTED_IMAGE_FRACTION", ERROR)]}


def skewed_labels(images, labels):
    return images, np.where(np.arange(len(labels)) < 50, 0, labels)


def darker(images, labels):
    return images // 4, labels


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
    verdict = judged(three(tmp_path, in_test(fault)), lend(), checks=Validate())
    (reason,) = verdict.reasons
    assert reason.startswith(words)
    assert "own.pbtxt allows 0.0" in reason
    assert [found for place in kinds(verdict).values() for found in place] == [(kind, ERROR)]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A version in a serving directory whose model was made from darker images."""
    from tests.conftest import lent

    folder = tmp_path_factory.mktemp("served")
    before = three(folder, lambda split, images, labels: darker(images, labels))
    described = describe.function(before, run=lent(folder / "run"))
    (folder / "7" / stats.SERVED).parent.mkdir(parents=True)
    shutil.copy(described.path / "stats.tfrecord", folder / "7" / stats.SERVED)
    return Served(folder / "7", digest="d", version=7)


@pytest.mark.parametrize("severity", ["ignore", "warning", "error"])
def test_data_unlike_that_of_the_served_model_is_said_at_the_severity_that_is_set(severity, served, tmp_path, lend):
    run = lend()
    verdict = judged(three(tmp_path), run, checks=QUIET.model_copy(update={"drift": severity}), served=served)
    said = {"warning": verdict.warnings, "error": verdict.reasons}.get(severity)
    assert verdict.passed == (severity != "error")
    if severity == "ignore":
        assert (verdict.warnings, verdict.reasons, kinds(verdict), run.said) == ((), (), {}, [])
        return
    (words,) = said
    assert words.startswith("train against version 7's: pixel values differ by a Jensen-Shannon divergence of 0.")
    assert run.said == ([f"warning: {words}"] if severity == "warning" else [])
    expected = {"warning": WARNING, "error": ERROR}[severity]
    assert kinds(verdict) == {"train/image": [("COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH", expected)]}


def test_data_like_that_of_the_served_model_is_no_drift(served, tmp_path, lend):
    made = three(tmp_path, lambda split, images, labels: darker(images, labels))
    assert judged(made, lend(), checks=Validate(drift="error"), served=served).passed


def test_a_served_version_without_statistics_is_no_drift(tmp_path, lend):
    verdict = judged(three(tmp_path), lend(), checks=Validate(drift="error"), served=Served(tmp_path, version=3))
    assert verdict.passed


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

    return three(path, change)


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
    from tests.conftest import lent

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
    assert set(run.said) == ({f"warning: {each}" for each in words} if severity == "warning" else set())
    expected = {"warning": WARNING, "error": ERROR}
    assert kinds(verdict) == (
        {} if severity == "ignore" else {place: [("UNKNOWN_TYPE", expected[severity])] * len(words)}
    )


def test_oddities_are_warnings_unless_the_configuration_says_otherwise(odd, lend):
    verdict = validate.function(odd, None, contract=OWN, checks=Validate(), run=lend())
    assert verdict.passed
    assert set(verdict.warnings) == {each for _, words in ODDITIES.values() for each in words}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((40, 35, 30), []),
        (
            (40, 29, 2),
            [
                "2 of 3 labels have fewer than 30 images (gates.min_examples), "
                "so gates.per_class cannot judge them: 1, 2"
            ],
        ),
        ((40, 40, 0), ["1 of 3 labels have no images, so gates.per_class will refuse every model: 2"]),
    ],
)
def test_labels_that_gates_cannot_judge_are_a_warning_before_anything_is_trained(counts, expected, tmp_path, lend):
    labels = np.repeat(np.arange(3), counts)
    images = np.random.default_rng(1).integers(0, 256, (len(labels), *pictures.SHAPE), np.uint8)
    train = pictures.pictures(90, seed=1)
    examples = pictures.examples(tmp_path / "own", train=train, validation=train, test=(images, labels))
    statistics = describe.function(examples, run=lend())
    contract, checks = pictures.contract(), QUIET.model_copy(update={"skew": "ignore"})
    verdict = validate.function(statistics, None, contract=contract, checks=checks, min_examples=30, run=lend())
    assert [words.removeprefix("test: ") for words in verdict.warnings] == expected
    assert verdict.passed


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


def test_a_contract_without_comparators_compares_nothing(tmp_path, lend):
    text = "\n".join(line for line in OWN.text.split("\n") if "comparator" not in line)
    verdict = judged(three(tmp_path, in_test(darker)), lend(), contract=Contract("own.pbtxt", text), checks=Validate())
    assert verdict.passed


histograms = st.lists(st.integers(0, 1000), min_size=256, max_size=256).filter(any)
label_counts = st.dictionaries(st.sampled_from("0123"), st.integers(1, 1000), min_size=1)


@hypothesis.given(histograms, histograms)
@hypothesis.settings(max_examples=50)
def test_divergence_is_symmetric_and_between_nothing_and_one_bit(one, other):
    found = jensen_shannon(one, other)
    assert found == pytest.approx(jensen_shannon(other, one), abs=1e-12)
    assert -1e-12 <= found <= 1 + 1e-12
    assert found == pytest.approx(distance.jensenshannon(one, other, 2) ** 2, abs=1e-9)


@hypothesis.given(histograms, st.integers(1, 50))
@hypothesis.settings(max_examples=50)
def test_divergence_of_the_same_shares_is_nothing_whatever_the_number_of_pixels(histogram, times):
    assert jensen_shannon(histogram, [times * count for count in histogram]) == pytest.approx(0, abs=1e-12)


def test_divergence_of_histograms_that_share_no_value_is_one_bit():
    assert jensen_shannon([5, 0], [0, 9]) == 1.0


@hypothesis.given(label_counts, label_counts)
def test_largest_difference_is_that_of_a_label_and_the_same_from_both_sides(one, other):
    label, difference, chance = largest_difference(one, other)
    shares = [counts.get(label, 0) / sum(counts.values()) for counts in (one, other)]
    assert difference == pytest.approx(abs(shares[0] - shares[1]))
    assert 0 <= difference <= 1
    assert chance >= 0
    assert largest_difference(other, one)[1:] == pytest.approx((difference, chance))


def test_a_small_split_is_forgiven_what_chance_explains_and_a_large_one_is_not():
    train = {"0": 500_000, "1": 500_000}
    small, large = ({"0": 46 * n, "1": 54 * n} for n in (1, 1000))
    (_, difference, chance), (_, same, less) = largest_difference(small, train), largest_difference(large, train)
    assert difference == same == pytest.approx(0.04)
    assert difference < 0.03 + chance
    assert same > 0.03 + less
