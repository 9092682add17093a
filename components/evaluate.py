"""evaluate: TensorFlow Model Analysis on the raw test examples, the comparison with what is served, and the accuracy gates."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from etils import epy

from components._evaluation import comparison, evaluator, gallery, record, thresholds
from components._evaluation.gates import BASELINE, BEST, CANDIDATE, judge
from components._training import saved_model
from pipeline.engine.component import Run, component
from schemas import example
from schemas.artifacts import Best, Evaluation, Examples, Model, Served, Statistics
from schemas.contract import Contract
from schemas.errors import ConfigurationError, DataError
from schemas.files import digest, listing
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates

with epy.lazy_imports():
    import numpy as np
    import pyarrow.parquet as pq
    import tensorflow as tf
    import tensorflow_model_analysis as tfma

PROBES = 32
SAID = {"better": "better than", "equivalent": "equivalent to", "worse": "worse than", "undecided": "undecided against"}


@component
def evaluate(
    model: Model,
    examples: Examples,
    statistics: Statistics,
    baseline: Served | None,
    best: Best | None,
    *,
    contract: Contract,
    gates: Gates,
    settings: Evaluate,
    run: Run,
) -> Evaluation:
    """Passes if the model reaches every gate: floors overall, on slices and under corruptions, calibration, and how it
    compares with the model now served and with the best ever served, on the same images.

    What TFMA can express is its thresholds, and its validation is what decides; comparisons come on top.

    Raises:
        StoreError: a served model cannot be read.
        DataError: nothing is left to test on.
        ConfigurationError: a served model answers in another form, or knows other labels.
        GatelineError: TFMA's verdict and its metrics contradict each other.
    """
    evaluated = digest(listing(model.path / "saved_model"))
    models = _models(model, baseline, best, contract.classes)
    tested = [split for split in ("test", "fresh") if split in examples.splits]
    shards = [(str(path), count, split == "fresh") for split, path, count in examples.shards(*tested)]
    for path, count, _ in shards:
        example.check(Path(path), count)  # a damaged shard is named here, before TFMA reads it
    leaked = frozenset(json.loads((statistics.path / "leaked.json").read_text(encoding="utf-8")))
    fresh = (
        frozenset(json.loads((statistics.path / "leaked-fresh.json").read_text(encoding="utf-8")))
        if "fresh" in tested
        else None
    )
    look = _look(contract, gates, settings, examples.splits["test"].count, leaked, fresh)
    config = thresholds.eval_config(gates, look, list(models))
    with run.beam() as pipeline:
        evaluator.evaluate(pipeline, config, shards, models, BASELINE if baseline else None, look, run.out)
    figures = {name: record.figures(run.out / "tfma", name if len(models) > 1 else "", look) for name in models}
    overall = figures[CANDIDATE]["overall"]
    if baseline:
        _knows_more_than_guessing(baseline, figures[BASELINE]["overall"]["accuracy"], contract.classes)
    compared = comparison.compare(run.out / evaluator.PREDICTIONS, leaked, gates, baseline, best, overall["accuracy"])
    judged = judge(gates, contract.classes, figures, compared, contract.names)
    thresholds.check_agreement(judged, tfma.load_validation_result(str(run.out / "tfma")).validation_ok)
    for name, content in (
        ("metrics", figures),
        ("comparisons", compared),
        ("gates", [asdict(gate) for gate in judged]),
    ):
        (run.out / f"{name}.json").write_text(json.dumps(_finite(content), indent=1), encoding="utf-8")
    gallery.leave(examples, run.out / evaluator.PREDICTIONS, run.out, contract.classes, leaked)
    _leave_probes(examples, run.out)
    beside = next((f"; {SAID[c['verdict']]} version {c['version']}" for c in compared if c["with"] == BASELINE), "")
    run.say(
        f"accuracy {overall['accuracy']:.4f}, loss {overall['loss']:.4f} on {overall['count']:,} test images{beside}"
    )
    return Evaluation(
        run.out,
        passed=all(gate.passed for gate in judged),
        reasons=tuple(gate.words for gate in judged if not gate.passed),
        remedy="See python -m pipeline report. Train better, or lower the gate if that is what you want. Nothing was pushed.",
        accuracy=overall["accuracy"],
        loss=overall["loss"],
        baseline=baseline.version if baseline else None,
        saved_model=evaluated,
        test=examples.test,
    )


def _models(model: Model, baseline: Served | None, best: Best | None, classes: int) -> dict[str, Path]:
    """SavedModels by name; the best ever served only where it is kept and is not the baseline itself."""
    served = {BASELINE: baseline.path} if baseline else {}
    if best and best.kept and not (baseline and baseline.version == best.version):
        served[BEST] = best.path
    for path in served.values():
        saved_model.check_signature(path, classes)
    return {CANDIDATE: model.path / "saved_model"} | served


def _knows_more_than_guessing(baseline: Served, accuracy: float, classes: int) -> None:
    """Or any candidate would be better."""
    if accuracy <= 1 / classes:
        cause = f"the served model {baseline.path} is no better than guessing on these test images"
        remedy = "Move that version away, or name another push.model."
        raise ConfigurationError(f"{cause}: its labels are others, or in another order", remedy)


def _look(
    contract: Contract,
    gates: Gates,
    settings: Evaluate,
    test: int,
    leaked: frozenset[int],
    fresh: frozenset[int] | None,
) -> "evaluator.Look":
    if len(leaked) >= test:
        raise DataError(
            "every test image also stands in train or validation", "Name another source.test. Nothing was pushed."
        )
    return evaluator.Look(
        shape=contract.shape,
        classes=contract.classes,
        slicings=tuple(settings.features),
        derived={
            measure: edges
            for measure, edges in settings.derived.items()
            if any(measure in s for s in settings.features)
        },
        corruptions=tuple(settings.corruptions),
        corrupted=min(1.0, settings.corrupted / test),
        leaked=leaked,
        fresh=fresh,
        confidence=gates.confidence,
        min_examples=gates.min_examples,
    )


def _finite(value: Any) -> Any:
    """JSON has no number for what is not a number: null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _leave_probes(examples: Examples, out: Path) -> None:
    """A few raw records and the probabilities that they were given, for the serving check."""
    _, path, count = next(examples.shards("test"))
    records = next(example.read(path, count, PROBES))
    with tf.io.TFRecordWriter(str(out / "probes.tfrecord")) as writer:
        for record in records:
            writer.write(record)
    rows = pq.read_table(out / evaluator.PREDICTIONS / f"{path.stem}.parquet").slice(0, len(records))
    np.save(out / "probes.npy", np.stack(rows[evaluator.PROBABILITIES].to_numpy()))
