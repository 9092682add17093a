"""Anomalies of data against its contract, with a sentence for each."""

import json
from collections.abc import Iterator
from typing import Any

from etils import epy

from components._data.duplicates import TESTED
from schemas import statistics as stats
from schemas.artifacts import Anomaly
from schemas.contract import Contract, label_title, unused_tag
from schemas.image_counts import ImageCounts
from schemas.judgeable import SliceGates, unjudgeable
from schemas.settings.validate import Validate
from schemas.text import listed

with epy.lazy_imports():
    import numpy as np
    from tensorflow_metadata.proto.v0 import schema_pb2


def against(contract: Contract, dataset: Any) -> Iterator[Anomaly]:
    """Presence, type and domain of each feature of the schema."""
    if not dataset.num_examples:
        yield Anomaly(dataset.name, "image", "DATASET_LOW_NUM_EXAMPLES", f"{dataset.name} has no records")
        return
    for feature in contract.proto.feature:
        try:
            column = stats.feature(dataset, feature.name)
        except KeyError:
            if feature.name != "source/index":
                message = f"{dataset.name}: no record has the feature {feature.name}, which {contract.name} requires"
                yield Anomaly(dataset.name, feature.name, "SCHEMA_MISSING_COLUMN", message)
            continue
        common = column.bytes_stats.common_stats if feature.name == "image" else column.string_stats.common_stats
        present = common.num_non_missing / dataset.num_examples
        if present < feature.presence.min_fraction:
            message = f"{dataset.name}: {common.num_missing:,} of {dataset.num_examples:,} records lack {feature.name}"
            yield Anomaly(dataset.name, feature.name, "FEATURE_TYPE_LOW_FRACTION_PRESENT", message)
        if common.num_non_missing and feature.type not in _types(column):
            message = f"{dataset.name}: {feature.name} is {_types(column)}, {contract.name} says {feature.type}"
            yield Anomaly(dataset.name, feature.name, "UNEXPECTED_DATA_TYPE", message)
        elif feature.HasField("int_domain") and feature.name != "image":
            yield from _outside(contract, dataset, feature)
        elif feature.HasField("string_domain"):
            yield from _unexpected(contract, dataset, feature)
    yield from _unused(contract, dataset)


def _types(statistics: Any) -> list[int]:
    """Schema types that a feature's statistics are compatible with."""
    kinds = {0: [schema_pb2.INT], 1: [schema_pb2.FLOAT], 2: [schema_pb2.BYTES], 3: [schema_pb2.BYTES]}
    return kinds.get(statistics.type, [])


def _outside(contract: Contract, dataset: Any, feature: Any) -> Iterator[Anomaly]:
    domain = feature.int_domain
    highest = domain.max if domain.HasField("max") else np.inf
    wrong = {v: n for v, n in stats.values(dataset, feature.name).items() if not domain.min <= int(v) <= highest}
    if wrong:
        examples = ", ".join(f"{value} ({count:,} times)" for value, count in sorted(wrong.items())[:3])
        allowed = f"{domain.min}" if domain.min == domain.max else f"{domain.min} to {domain.max}"
        message = f"{dataset.name}: {feature.name} is {examples}; {contract.name} allows {allowed}"
        kind = "INT_TYPE_BIG_INT" if any(int(value) > highest for value in wrong) else "INT_TYPE_SMALL_INT"
        yield Anomaly(dataset.name, feature.name, kind, message)


def _unexpected(contract: Contract, dataset: Any, feature: Any) -> Iterator[Anomaly]:
    allowed = list(feature.string_domain.value)
    wrong = {v: n for v, n in stats.values(dataset, feature.name).items() if v not in allowed}
    if wrong:
        examples = ", ".join(f"{value} ({count:,} times)" for value, count in sorted(wrong.items())[:3])
        message = f"{dataset.name}: {feature.name} is {examples}; {contract.name} allows {', '.join(allowed)}"
        yield Anomaly(dataset.name, feature.name, "ENUM_TYPE_UNEXPECTED_STRING_VALUES", message)


def _unused(contract: Contract, dataset: Any) -> Iterator[Anomaly]:
    """Images of classes that the contract declares unused."""
    counts = stats.values(dataset, "label")
    wrong = {label: counts[str(label)] for label in contract.unused if str(label) in counts}
    if wrong:
        titles = {label: label_title(label, contract.names) for label in wrong}
        examples = listed([f"{titles[label]} ({count:,} times)" for label, count in wrong.items()], 3)
        tags = listed([json.dumps(unused_tag(label, contract.names), ensure_ascii=False) for label in wrong], 3)
        message = f"{dataset.name}: label is {examples}; {contract.name} declares unused by tag: {tags}"
        yield Anomaly(dataset.name, "label", "CUSTOM_VALIDATION", message)


def data_anomalies(dataset: Any, checks: Validate) -> Iterator[Anomaly]:
    """Checks that a schema cannot express."""
    name = dataset.name
    if malformed := int(stats.custom(dataset, "malformed")):
        message = f"{name}: {malformed:,} images have a pixel count that does not match height x width x channels"
        yield Anomaly(name, "image", "LOW_SUPPORTED_IMAGE_FRACTION", message)
    if copies := int(stats.custom(dataset, "duplicates")):
        yield Anomaly(
            name, "image", "UNKNOWN_TYPE", f"{name}: {copies:,} images are copies of another one", checks.duplicates
        )
    if constant := int(stats.custom(dataset, "constant")):
        yield Anomaly(
            name, "image", "UNKNOWN_TYPE", f"{name}: {constant:,} images have a single colour", checks.constant
        )
    for other, count in stats.leaked(dataset).items() if name in TESTED else ():
        if count == dataset.num_examples:
            yield Anomaly(
                name,
                "image",
                "UNKNOWN_TYPE",
                f"{name}: every image is also in {other}, so no test images are left",
            )
        else:
            message = f"{name}: {count:,} images are also in {other}; they are excluded from the {name} metrics"
            yield Anomaly(name, "image", "UNKNOWN_TYPE", message, checks.leakage)


def near(dataset: Any, checks: Validate) -> Iterator[Anomaly]:
    """Near copies within the split; and of tested images, in splits that are trained on, or may be."""
    for other, count in stats.near_copies(dataset).items():
        if other == dataset.name:
            message = f"{other}: {count:,} images are re-encoded, resized or mirrored copies of each other"
            yield Anomaly(other, "image", "UNKNOWN_TYPE", message, checks.duplicates)
        if other == dataset.name or dataset.name not in TESTED:
            continue
        if count == dataset.num_examples and other not in TESTED:
            message = f"{dataset.name}: every image is a near copy of an image in {other}, so no test images are left"
            yield Anomaly(dataset.name, "image", "UNKNOWN_TYPE", message)
            continue
        message = f"{dataset.name}: {count:,} images are re-encoded, resized or mirrored copies of images in {other}"
        excluded = "" if other in TESTED else f"; they are excluded from the {dataset.name} metrics"
        yield Anomaly(dataset.name, "image", "UNKNOWN_TYPE", message + excluded, checks.leakage)


def few_test_images(gates: SliceGates, counts: ImageCounts, contract: Contract) -> Iterator[Anomaly]:
    """Gates that the test split has too few images for."""
    for each in unjudgeable(gates, counts, contract):
        feature = "label" if each.gate == "per_class" else "image"
        yield Anomaly("test", feature, "UNKNOWN_TYPE", f"test: {each}", "warning")
