"""validate: data that violates its contract. Each violation is one anomaly with its message and severity."""

import json

import numpy as np
import pytest

from components.describe import describe
from components.validate import validate
from schemas.judgeable import SliceGates
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from schemas.settings.validate import Validate
from tests.components import pictures
from tests.components.verdicts import ERROR, IGNORE_ALL, in_test, kinds, proto, three_splits, validated

GATES = SliceGates.of(Gates(accuracy=0.9, per_class=0.8), Evaluate())


def test_the_sample_satisfies_its_contract(verdict, mnist):
    assert verdict.passed
    assert verdict.reasons == verdict.warnings == ()
    assert json.loads((verdict.path / "anomalies.json").read_text(encoding="utf-8")) == []
    assert proto(verdict).anomaly_info == {}
    assert proto(verdict).baseline == mnist.proto


def test_valid_colour_images_satisfy_their_contract(tmp_path, new_run):
    strict = Validate(skew="error", drift="error", leakage="error", duplicates="error", constant="error")
    verdict = validated(three_splits(tmp_path), new_run(), checks=strict)
    assert verdict.passed, verdict.reasons


def test_a_verdict_states_the_names_of_the_labels_and_those_that_are_unused(tmp_path, new_run):
    examples = three_splits(tmp_path)
    named = pictures.contract(classes=4, names=["cat", "dog", "elk", "fox"], unused=[3])
    verdict = validated(examples, new_run(), contract=named)
    assert (verdict.labels, verdict.unused) == (("cat", "dog", "elk", "fox"), (3,))
    assert validated(examples, new_run()).labels == ()


def test_images_of_another_size_are_refused(tmp_path, new_run):
    verdict = validated(three_splits(tmp_path, in_test(lambda images, labels: (images[:, :6], labels))), new_run())
    assert not verdict.passed
    assert verdict.reasons == ("test: image/height is 6 (60 times); own.pbtxt allows 8",)
    assert verdict.remedy == "Fix the data or, if the data is correct, the contract (own.pbtxt). Nothing was trained."
    assert kinds(verdict) == {"test/image/height": [("INT_TYPE_SMALL_INT", ERROR)]}


def test_grey_images_are_refused_if_the_contract_requires_colour(tmp_path, new_run):
    verdict = validated(three_splits(tmp_path, in_test(lambda images, labels: (images[..., :1], labels))), new_run())
    assert verdict.reasons == ("test: image/channels is 1 (60 times); own.pbtxt allows 3",)


def test_a_label_outside_its_domain_is_refused(tmp_path, new_run):
    def damage(images, labels):
        labels[[3, 4]] = [10, 3]
        return images, labels

    verdict = validated(three_splits(tmp_path, in_test(damage)), new_run())
    assert verdict.reasons == ("test: label is 10 (1 times), 3 (1 times); own.pbtxt allows 0 to 2",)
    assert kinds(verdict) == {"test/label": [("INT_TYPE_BIG_INT", ERROR)]}


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ("label", "train: 1 of 300 records lack label"),
        ("image", "train: 1 of 300 records lack image"),
        ("source/version", "train: 1 of 300 records lack source/version"),
    ],
)
def test_a_record_without_a_feature_is_refused(feature, message, tmp_path, new_run):
    examples = three_splits(tmp_path)
    records = pictures.records(examples, "train")
    records[11] = pictures.without_feature(records[11], feature)
    pictures.write(examples.path, "train", records)
    verdict = validated(examples, new_run())
    assert verdict.reasons == (message,)
    assert kinds(verdict) == {f"train/{feature}": [("FEATURE_TYPE_LOW_FRACTION_PRESENT", ERROR)]}


def test_a_split_without_labels_is_refused(tmp_path, new_run):
    examples = three_splits(tmp_path)
    pictures.write(
        examples.path, "test", [pictures.without_feature(r, "label") for r in pictures.records(examples, "test")]
    )
    verdict = validated(examples, new_run(), checks=Validate())
    assert "test: 60 of 60 records lack label" in verdict.reasons


def test_images_with_missing_pixels_are_refused(tmp_path, new_run):
    examples = three_splits(tmp_path)
    records = pictures.records(examples, "train")
    small = pictures.examples(tmp_path / "small", test=pictures.pictures(1, seed=1, shape=(8, 9, 3)))
    too_short = pictures.columns(small, "test")["image"][0]
    import tensorflow as tf

    message = tf.train.Example.FromString(records[5])
    message.features.feature["image"].bytes_list.value[0] = too_short
    records[5] = message.SerializeToString(deterministic=True)
    pictures.write(examples.path, "train", records)
    verdict = validated(examples, new_run())
    assert verdict.reasons == ("train: 1 images have a pixel count that does not match height x width x channels",)
    assert kinds(verdict) == {"train/image": [("LOW_SUPPORTED_IMAGE_FRACTION", ERROR)]}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((40, 35, 30), []),
        (
            (40, 29, 2),
            [
                "gates.per_class cannot judge 2 of 3 classes with fewer than 30 test images (gates.min_examples): "
                "2: 2, 1: 29. Add test images, at least 30 of each, or lower gates.min_examples"
            ],
        ),
        (
            (29, 29, 29),
            [
                "gates.per_class will refuse every model, because it cannot judge 3 of 3 classes with fewer than 30 "
                "test images (gates.min_examples): 0: 29, 1: 29, 2: 29. "
                "Add test images, at least 30 of each, or lower gates.min_examples"
            ],
        ),
        (
            (40, 40, 0),
            [
                "gates.per_class will refuse every model: no test images of 1 of 3 classes: 2. "
                "Add test images of it, or declare classes that never occur unused in own.pbtxt"
            ],
        ),
    ],
)
def test_labels_that_gates_cannot_judge_are_a_warning(counts, expected, tmp_path, new_run):
    labels = np.repeat(np.arange(3), counts)
    images = np.random.default_rng(1).integers(0, 256, (len(labels), *pictures.SHAPE), np.uint8)
    train = pictures.pictures(90, seed=1)
    examples = pictures.examples(tmp_path / "own", train=train, validation=train, test=(images, labels))
    statistics = describe.function(examples, run=new_run())
    contract, checks = pictures.contract(), IGNORE_ALL.model_copy(update={"skew": "ignore"})
    verdict = validate.function(statistics, None, contract=contract, checks=checks, gates=GATES, run=new_run())
    assert [warning.removeprefix("test: ") for warning in verdict.warnings] == expected
    assert verdict.passed


def test_a_class_that_is_declared_unused_and_never_occurs_is_not_an_anomaly(tmp_path, new_run):
    def without_green(split, images, labels):
        return images[labels != 1], labels[labels != 1]

    statistics = describe.function(three_splits(tmp_path, without_green, sizes=(300, 300, 300)), run=new_run())
    contract = pictures.contract(unused=[1])
    verdict = validate.function(statistics, None, contract=contract, checks=Validate(), gates=GATES, run=new_run())
    assert (verdict.passed, verdict.reasons, verdict.warnings) == (True, (), ())


def test_a_class_that_is_declared_unused_but_occurs_is_refused(tmp_path, new_run):
    contract = pictures.contract(classes=5, unused=[1, 4])
    verdict = validated(three_splits(tmp_path, sizes=(300, 60, 0)), new_run(), contract=contract)
    message = '; own.pbtxt declares unused by tag: "unused=1"'
    reasons = (f"train: label is 1 (100 times){message}", f"validation: label is 1 (20 times){message}")
    assert verdict.reasons == (*reasons, "test has no records")
    assert verdict.remedy == "Fix the data or, if the data is correct, the contract (own.pbtxt). Nothing was trained."
    assert kinds(verdict)["train/label"] == [("CUSTOM_VALIDATION", ERROR)]


def test_the_refusal_names_the_unused_class(tmp_path, new_run):
    contract = pictures.contract(classes=5, names=["red", "green", "blue", "x", "y"], unused=[1, 2, 3])
    verdict = validated(three_splits(tmp_path), new_run(), contract=contract)
    assert verdict.reasons[0] == (
        "train: label is 1 (green) (100 times), 2 (blue) (100 times); "
        'own.pbtxt declares unused by tag: "unused=green", "unused=blue"'
    )
