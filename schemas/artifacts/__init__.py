"""What each stage writes: a directory and the few facts that other stages need, one module per part of the line.

examples = Examples(path, splits={"train": Split(shards=("train-00000-of-00001.tfrecord",), counts=(4000,))})
examples.splits["train"].count  # 4000
"""

from schemas.artifacts.base import (
    TEST,
    TRAIN,
    UNREADABLE,
    VALIDATION,
    Artifact,
    DamagedFile,
    Gate,
    Sharded,
    Split,
    write_unreadable,
)
from schemas.artifacts.comparison import Comparison, PairedTest
from schemas.artifacts.data import Anomaly, Examples, Mixture, NearCopy, SourceData, Statistics, Verdict, in_order
from schemas.artifacts.evaluation import Evaluation, GateResult, ranked, refusals
from schemas.artifacts.gallery import GalleryEntry
from schemas.artifacts.serving import WARMUP, Approval, Best, Decision, Pushed, Served, ServingCheck
from schemas.artifacts.spans import Admission, Arrivals, Collected, Measure, Span, SpanDecision
from schemas.artifacts.training import Features, Hyperparameters, Model, Search

__all__ = [
    "TEST",
    "TRAIN",
    "UNREADABLE",
    "VALIDATION",
    "WARMUP",
    "Admission",
    "Anomaly",
    "Approval",
    "Arrivals",
    "Artifact",
    "Best",
    "Collected",
    "Comparison",
    "DamagedFile",
    "Decision",
    "Evaluation",
    "Examples",
    "Features",
    "GalleryEntry",
    "Gate",
    "GateResult",
    "Hyperparameters",
    "Measure",
    "Mixture",
    "Model",
    "NearCopy",
    "PairedTest",
    "Pushed",
    "Search",
    "Served",
    "ServingCheck",
    "Sharded",
    "SourceData",
    "Span",
    "SpanDecision",
    "Split",
    "Statistics",
    "Verdict",
    "in_order",
    "ranked",
    "refusals",
    "write_unreadable",
]
