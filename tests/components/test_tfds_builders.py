"""TFDS's own image classification builders, by their feature specification: no network, no data."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from components.sources import tfds_builder
from schemas.errors import DataError
from schemas.settings.source import Tfds

TASK = re.compile(r"^ml\.task\.(fine-grained-)?image-classification\b", re.MULTILINE)  # in a builder's TAGS.txt


def is_image_classification(name):
    tags = Path(tfds.__file__).parent / "datasets" / name / "TAGS.txt"
    return ".image_classification." in tfds.builder_cls(name).__module__ or (
        tags.is_file() and TASK.search(tags.read_text(encoding="utf-8")) is not None
    )


@pytest.fixture(scope="module")
def builders(tmp_path_factory):
    """By name: the features of the builder, or None if TFDS itself cannot make it; and its keys, or the refusal."""
    folder, outcomes = str(tmp_path_factory.mktemp("tfds")), {}
    for name in filter(is_image_classification, tfds.list_builders(with_community_datasets=False)):
        source, features = Tfds(tfds=name), None
        try:
            builder = tfds_builder.known(source, folder)
            features = builder.info.features
            outcomes[name] = features, tfds_builder.keys(builder, source)
        except DataError as error:
            outcomes[name] = features, error
    return outcomes


def is_single_label(features):
    """The specification states an image of uint8 and a class."""
    if features is None:
        return True
    kinds = [type(feature) for feature in features.values()]
    images = [feature for feature in features.values() if type(feature) is tfds.features.Image]
    return tfds.features.ClassLabel in kinds and any(image.np_dtype == np.uint8 for image in images)


def test_nearly_all_builders_with_one_label_are_accepted(builders):
    wanted = [name for name, (features, _) in builders.items() if is_single_label(features)]
    refused = [name for name in wanted if isinstance(builders[name][1], DataError)]
    assert len(wanted) > 50
    assert len(refused) <= 0.05 * len(wanted), refused


def test_others_are_refused_with_a_reason(builders):
    refusals = {name: outcome for name, (_, outcome) in builders.items() if isinstance(outcome, DataError)}
    assert {name for name, (features, _) in builders.items() if not is_single_label(features)} <= refusals.keys()
    assert refusals["chexpert"].cause.endswith(" is Sequence (None,) int64, not a single integer label")
    assert refusals["kitti"].cause.endswith(" has no feature label")
    for error in refusals.values():
        assert "source." in error.remedy


def test_a_class_of_another_name_can_be_named(tmp_path):
    source = Tfds(tfds="stanford_online_products", label="super_class_id")
    assert tfds_builder.keys(tfds_builder.known(source, str(tmp_path)), source) == ("image", "super_class_id")
