"""Verdicts on small colour images with a planted fault, and the anomalies in them."""

import dataclasses

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.describe import describe
from components.validate import validate
from schemas.settings.validate import Validate
from tests.components import pictures

QUIET = Validate(skew="ignore", drift="ignore", leakage="ignore", duplicates="ignore", constant="ignore")
ERROR, WARNING = anomalies_pb2.AnomalyInfo.ERROR, anomalies_pb2.AnomalyInfo.WARNING
OWN = pictures.contract()


def judged(examples, run, *, contract=OWN, checks=QUIET, served=None):
    described = dataclasses.replace(describe.function(examples, run=run), digest="d")
    return validate.function(described, served, contract=contract, checks=checks, run=run)


def three_splits(path, change=lambda split, images, labels: (images, labels), sizes=(300, 60, 60)):
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


def darker(images, labels):
    return images // 4, labels
