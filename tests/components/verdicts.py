"""Verdicts on small colour images with one change, and their anomalies."""

import dataclasses

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.describe import describe
from components.validate import validate
from schemas.settings.validate import Validate
from tests.components import pictures

IGNORE_ALL = Validate(skew="ignore", drift="ignore", leakage="ignore", duplicates="ignore", constant="ignore")
ERROR, WARNING = anomalies_pb2.AnomalyInfo.ERROR, anomalies_pb2.AnomalyInfo.WARNING
OWN = pictures.contract()


def validated(examples, run, *, contract=OWN, checks=IGNORE_ALL, served=None):
    described = dataclasses.replace(describe.function(examples, run=run), digest="d")
    return validate.function(described, served, contract=contract, checks=checks, run=run)


def three_splits(path, change=lambda split, images, labels: (images, labels), sizes=(300, 60, 60)):
    """Examples with three splits of valid images, after a change."""
    splits = {}
    for seed, (split, size) in enumerate(zip(("train", "validation", "test"), sizes, strict=True)):
        splits[split] = change(split, *pictures.pictures(size, seed=seed))
    return pictures.examples(path / "examples", **splits)


def in_test(change):
    """A change of the test split only."""
    return lambda split, images, labels: change(images, labels) if split == "test" else (images, labels)


def proto(verdict):
    return text_format.Parse((verdict.path / "anomalies.pbtxt").read_text(encoding="utf-8"), anomalies_pb2.Anomalies())


def kinds(verdict):
    """{path: [(type, severity)]}, as TFDV reads the anomalies."""
    names = anomalies_pb2.AnomalyInfo.Type.Name
    return {
        path: [(names(r.type), info.severity) for r in info.reason]
        for path, info in proto(verdict).anomaly_info.items()
    }


def darker(images, labels):
    return images // 4, labels
