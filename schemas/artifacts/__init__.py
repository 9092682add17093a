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
from schemas.artifacts.data import Examples, Mixture, SourceData, Statistics, Verdict, in_order
from schemas.artifacts.evaluation import Evaluation, GateResult, ranked, refusals
from schemas.artifacts.serving import WARMUP, Approval, Best, Decision, Pushed, Served, ServingCheck
from schemas.artifacts.spans import Admission, Arrivals, Collected, Span
from schemas.artifacts.training import Features, Hyperparameters, Model, Search

__all__ = [
    "TEST",
    "TRAIN",
    "UNREADABLE",
    "VALIDATION",
    "WARMUP",
    "Admission",
    "Approval",
    "Arrivals",
    "Artifact",
    "Best",
    "Collected",
    "DamagedFile",
    "Decision",
    "Evaluation",
    "Examples",
    "Features",
    "Gate",
    "GateResult",
    "Hyperparameters",
    "Mixture",
    "Model",
    "Pushed",
    "Search",
    "Served",
    "ServingCheck",
    "Sharded",
    "SourceData",
    "Span",
    "Split",
    "Statistics",
    "Verdict",
    "in_order",
    "ranked",
    "refusals",
    "write_unreadable",
]
