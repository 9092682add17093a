"""Evaluations with low gates, and readers of their files."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq

from components._evaluation.evaluator import EvaluationPlan
from components.describe import describe
from components.evaluate import evaluate
from schemas.artifacts import Statistics
from schemas.artifacts.data import STATISTICS
from schemas.gates.budget import Budget
from schemas.gates.paired import Paired
from schemas.model_input import ModelInput
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from schemas.settings.transform import Transform
from tests.conftest import folder_run

ALLOW_ALL = Paired(margin=0.05, better="pass", equivalent="pass", worse="pass", undecided="pass")
LOW_GATES = Gates(accuracy=0.2, per_class=0.15, paired=ALLOW_ALL, budget=Budget(margin=0.9))
DESCRIBED = {}
PLAIN = Evaluate(corrupted=0)
WITH_SLICES = Evaluate(slices=["ink", ["label", "ink"], "source/dataset"], derived={"ink": [0.09, 0.14]}, corrupted=200)


def changed(**settings):
    return Gates(**dict(LOW_GATES) | settings)


def described(examples):
    """The statistics of examples, computed once."""
    if (key := repr(examples)) not in DESCRIBED:
        with TemporaryDirectory() as folder:
            DESCRIBED[key] = (describe.function(examples, run=folder_run(Path(folder))).path / STATISTICS).read_bytes()
    return DESCRIBED[key]


def evaluated(model, examples, run, mnist, *, baseline=None, best=None, gates=LOW_GATES, settings=PLAIN, leaked=()):
    statistics = Statistics(run.scratch, counts={})
    (run.scratch / STATISTICS).write_bytes(described(examples))
    (run.scratch / "leaked.json").write_text(json.dumps(list(leaked)), encoding="utf-8")
    return evaluate.function(
        model,
        examples,
        statistics,
        baseline,
        best,
        contract=mnist,
        gates=gates,
        settings=settings,
        transform=Transform(),
        run=run,
    )


def read(evaluation, name):
    return json.loads((evaluation.path / f"{name}.json").read_text(encoding="utf-8"))


DIGITS = ModelInput((28, 28, 1), (28, 28, 1))
PLAN = EvaluationPlan(DIGITS, 10, (("label",),), {}, (), 0.0, frozenset(), None, confidence=0.95, min_examples=30)


def predicted(evaluation, column="probabilities"):
    """(labels, probabilities) of the rows in the predictions."""
    rows = pq.read_table(evaluation.path / "predictions")
    return rows["label"].to_numpy(), np.stack(rows[column].to_numpy())
