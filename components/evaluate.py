"""evaluate: TensorFlow Model Analysis on test records, comparison with served models, and accuracy gates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etils import epy

from components._evaluation import comparison, evaluator, gallery, probes, record, thresholds
from components._training import saved_model
from pipeline.engine.component import StageRun, component
from schemas import shard_reader
from schemas.artifacts import Best, Comparison, Evaluation, Examples, Model, Served, Statistics, refusals
from schemas.artifacts.evaluation import BASELINE, BEST, CANDIDATE, PREDICTIONS
from schemas.contract import Contract
from schemas.errors import ConfigurationError, DataError
from schemas.files import digest, listing
from schemas.gates import Measured
from schemas.image_counts import ImageCounts
from schemas.model_input import ModelInput
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from schemas.settings.transform import Transform

with epy.lazy_imports():
    import tensorflow_model_analysis as tfma

REMEDY = "See python -m pipeline report. Improve the model, or lower the gate if that is intended. Nothing was pushed."


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
    transform: Transform,
    run: StageRun,
) -> Evaluation:
    """Passes if the model reaches every gate: floors overall, on slices and under corruptions, calibration, and the
    comparisons with the served model and with the best model ever served, on the same images.

    TFMA's validation decides the gates that its thresholds can express; the comparisons are added.

    Raises:
        StoreError: a served model cannot be read.
        DataError: no test images are left.
        ConfigurationError: a served model has another signature, or other labels.
        GatelineError: TFMA's verdict and its metrics contradict each other.
    """
    evaluated = digest(listing(model.path / "saved_model"))
    models = _models(model, baseline, best, contract)
    shards = _shards(examples)
    model_input = ModelInput.of(contract, transform)
    plan = _plan(model_input, contract, gates, settings, examples, statistics)
    config = thresholds.eval_config(gates, plan, list(models))
    with run.beam() as pipeline:
        evaluator.evaluate(pipeline, config, shards, models, BASELINE if baseline else None, plan, run.out)
    metrics = {name: record.figures(run.out / "tfma", name if len(models) > 1 else "", plan) for name in models}
    overall = metrics[CANDIDATE]["overall"]
    if baseline:
        _check_better_than_guessing(baseline, metrics[BASELINE]["overall"]["accuracy"], len(contract.labels))
    predictions = run.out / PREDICTIONS
    compared = comparison.compare(predictions, plan.leaked, gates, baseline, best, overall["accuracy"], examples.test)
    if baseline and not compared[0].same_test:
        run.log(f"the test split changed since version {baseline.version} was pushed")
    planned = thresholds.planned(plan, models)
    results = gates.evaluate(Measured(planned, metrics, compared, contract.names))
    valid = tfma.load_validation_result(str(run.out / "tfma")).validation_ok
    thresholds.check_agreement(gates, planned, results, valid)
    Evaluation.write_results(run.out, results, metrics, compared)
    gallery.write(examples, predictions, run.out, model_input, contract.classes, plan.leaked)
    probes.write(examples, predictions, model_input, run.out)
    run.log(_summary(overall, compared))
    return Evaluation(
        run.out,
        passed=all(gate.passed for gate in results),
        reasons=refusals(results),
        remedy=REMEDY,
        accuracy=overall["accuracy"],
        loss=overall["loss"],
        baseline=baseline.version if baseline else None,
        saved_model=evaluated,
        test=examples.test,
    )


def _summary(overall: dict[str, Any], comparisons: Sequence[Comparison]) -> str:
    verdicts = (f"; {c.test.phrase} version {c.version}" for c in comparisons if c.model == BASELINE and c.test)
    measured = f"accuracy {overall['accuracy']:.4f}, loss {overall['loss']:.4f} on {overall['count']:,} test images"
    return measured + next(verdicts, "")


def _models(model: Model, baseline: Served | None, best: Best | None, contract: Contract) -> dict[str, Path]:
    """SavedModels by name; the best ever served only if it is kept and is not the baseline itself."""
    served = {BASELINE: baseline.path} if baseline else {}
    if best and best.kept and not (baseline and baseline.version == best.version):
        served[BEST] = best.path
    for path in served.values():
        saved_model.check_signature(path, contract.classes, contract.encoding)
    return {CANDIDATE: model.path / "saved_model"} | served


def _shards(examples: Examples) -> list[tuple[str, int, bool]]:
    """Path, records, and whether it belongs to split `fresh`, of each test shard. A damaged shard is named here."""
    tested = [split for split in ("test", "fresh") if split in examples.splits]
    shards = [(str(path), count, split == "fresh") for split, path, count in examples.shards(*tested)]
    shard_reader.check((Path(path), count) for path, count, _ in shards)
    return shards


def _check_better_than_guessing(baseline: Served, accuracy: float, classes: int) -> None:
    """Raises ConfigurationError for a baseline no better than guessing: any candidate would be better."""
    if accuracy <= 1 / classes:
        cause = f"the served model {baseline.path} is no better than guessing on these test images"
        remedy = "Move that version away, or name another push.model."
        raise ConfigurationError(f"{cause}: its labels differ, or their order does", remedy)


def _plan(
    model_input: ModelInput,
    contract: Contract,
    gates: Gates,
    settings: Evaluate,
    examples: Examples,
    statistics: Statistics,
) -> "evaluator.EvaluationPlan":
    test, leaked = examples.splits["test"].count, statistics.leaked("test")
    if len(leaked) >= test:
        cause = "every test image is also in train or validation"
        raise DataError(cause, "Name another source.test. Nothing was pushed.")
    if unknown := [name for name in settings.columns if name not in examples.metadata]:
        cause = f"evaluate.slices names {unknown[0]}, which is not a column stored in the records"
        raise ConfigurationError(cause, f"They carry {', '.join(examples.metadata) or 'no further columns'}.")
    used = {feature for slicing in settings.features for feature in slicing}
    return evaluator.EvaluationPlan(
        model_input=model_input,
        classes=contract.classes,
        slicings=tuple(settings.features),
        derived={measure: edges for measure, edges in settings.derived.items() if measure in used},
        corruptions=tuple(settings.corruptions),
        corrupted=min(1.0, settings.corrupted / test),
        leaked=leaked,
        fresh=statistics.leaked("fresh") if "fresh" in examples.splits else None,
        confidence=gates.confidence,
        min_examples=gates.min_examples,
        metadata=tuple(settings.columns),
        unused=contract.unused,
        images=test,
        values=_values(statistics, settings, gates.min_examples),
    )


def _values(statistics: Statistics, settings: Evaluate, min_examples: int) -> dict[str, int]:
    """By feature of a slicing: the number of its values with at least `min_examples` test images."""
    counted = ImageCounts.of(statistics.by_split(), 0).judgeable(min_examples)
    derived = {str(measure): len(edges) + 1 for measure, edges in settings.derived.items()}
    sliced = {feature for slicing in settings.features for feature in slicing}
    return {feature: number for feature, number in (counted | derived).items() if feature in sliced}
