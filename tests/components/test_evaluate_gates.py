"""evaluate: the gates pass or refuse a model, alone or compared with served ones."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow_model_analysis as tfma

from components._training import saved_model
from schemas.artifacts import Best, Served
from schemas.gates import family_wise, upper_bound
from schemas.gates.budget import Budget
from schemas.settings.gates import Gates
from tests.components import pictures
from tests.components.evaluations import ALLOW_ALL, WITH_SLICES, changed, evaluated, read


def test_a_better_model_passes(evaluated_alone, compared):
    for evaluation in (evaluated_alone, compared):
        assert evaluation.passed
        assert evaluation.reasons == ()
    assert (evaluated_alone.baseline, compared.baseline) == (None, 4)
    gates = [(g["gate"], g["slice"], g["passed"]) for g in read(evaluated_alone, "gates")]
    assert gates == [("accuracy", "overall", True), *(("per_class", f"label={k}", True) for k in range(10))]
    assert {"paired", "budget"} <= {g["gate"] for g in read(compared, "gates")}


def test_accuracy_below_its_gate_is_refused(evaluated_alone, model, few, mnist, new_run):
    evaluation = evaluated(model, few, new_run(), mnist, gates=changed(accuracy=0.999))
    assert not evaluation.passed
    accuracy = evaluated_alone.accuracy
    assert evaluation.reasons == (
        f"accuracy is {accuracy:.4f}; gates.accuracy requires 0.9990 ({0.999 - accuracy:.4f} short)",
    )
    assert "python -m pipeline report" in evaluation.remedy
    assert "Nothing was pushed." in evaluation.remedy
    assert not tfma.load_validation_result(str(evaluation.path / "tfma")).validation_ok


def test_each_kind_of_gate_refuses(compared, model, worse_model, few, mnist, new_run):
    """The stage compares TFMA's validation with our gates and raises if they differ."""

    def bound(row, family):
        return upper_bound(round(row["accuracy"] * row["count"]), row["count"], family_wise(0.95, family))

    metrics = read(compared, "metrics")["candidate"]
    slices = {name: bound(row, 4) for name, row in metrics["slices"].items() if name.startswith("ink=")}
    worst = min(slices, key=slices.get)
    noise_bound = bound(metrics["corruptions"]["noise"], 2)
    gates = changed(
        slices={"ink": slices[worst] + 1e-6, worst: slices[worst] + 1e-6},
        corruptions={"noise": noise_bound + 1e-6, "shift": 0.11},
        ece=metrics["overall"]["ece"] - 1e-6,
        brier=metrics["overall"]["brier"] - 1e-6,
    )
    evaluation = evaluated(model, few, new_run(), mnist, gates=gates, settings=WITH_SLICES)
    assert [g["gate"] for g in read(evaluation, "gates") if not g["passed"]] == [
        "brier",
        "corruptions.noise",
        "ece",
        "slices.ink",
        f"slices.{worst}",
    ]
    levels = {g["gate"].split(".")[0]: g["level"] for g in read(evaluation, "gates")}
    assert (levels["per_class"], levels["slices"], levels["corruptions"], levels["accuracy"]) == (
        "95% confidence for 9 slices together",  # one class has fewer than 30 images
        "95% confidence for 4 slices together",
        "95% confidence for 2 slices together",
        "",
    )


def test_a_worse_model_is_refused(compared, model, worse_model, few, mnist, new_run):
    """The worse model is the candidate, the better one is served: refused by comparison, drop and budget."""
    candidate = dataclasses.replace(model, path=worse_model.path.parent)
    better_model = Served(model.path / "saved_model", digest="d", version=9)
    best = Best(better_model.path, digest="b", version=9, accuracy=0.9, kept=True, same_test=True)
    gates = Gates(accuracy=0.11, per_class=0.11, min_examples=50, drop=0.01)
    evaluation = evaluated(candidate, few, new_run(), mnist, baseline=better_model, best=best, gates=gates)
    drop = compared.accuracy - evaluation.accuracy
    assert drop > 0.01
    refused = {g["gate"]: g["words"] for g in read(evaluation, "gates") if not g["passed"]}
    assert list(refused) == ["budget", "drop", "paired"]
    assert evaluation.reasons == tuple(refused.values())
    message = f"accuracy {evaluation.accuracy:.4f} is {drop:.4f} below the served model's {compared.accuracy:.4f}"
    message += "; gates.drop allows 0.0100"
    assert refused["drop"] == message
    assert refused["paired"].startswith(f"{100 * drop:.2f} points worse than version 9 (90 % interval -")
    assert refused["paired"].endswith("; gates.paired allows: better, equivalent")
    assert refused["budget"].endswith("; gates.budget allows a loss of 1.00 points against the best model ever served")
    assert evaluation.baseline == 9


def test_the_budget_compares_with_an_earlier_better_model(
    compared, evaluated_alone, model, worse_model, few, mnist, new_run
):
    """The same model is candidate and baseline; a better one was served before."""
    candidate = dataclasses.replace(model, path=worse_model.path.parent)
    served = Served(worse_model.path, digest="now", version=9, test="digest of another test split")
    best = Best(model.path / "saved_model", digest="then", version=2, accuracy=0.9, kept=True, same_test=True)
    run = new_run()
    evaluation = evaluated(
        candidate,
        few,
        run,
        mnist,
        baseline=served,
        best=best,
        gates=changed(paired=ALLOW_ALL.model_copy(update={"margin": 0.01}), budget=Budget(), min_examples=50),
    )
    assert [g["gate"] for g in read(evaluation, "gates") if not g["passed"]] == ["budget"]
    paired, budget = read(evaluation, "comparisons")
    assert (paired["verdict"], paired["difference"], paired["version"]) == ("equivalent", 0, 9)
    assert (paired["same_test"], budget["same_test"]) == (False, True)
    assert run.logged[0] == "the test split changed since version 9 was pushed"
    assert budget["difference"] == pytest.approx(evaluation.accuracy - evaluated_alone.accuracy)
    assert read(evaluation, "metrics")["best"]["overall"]["accuracy"] == evaluated_alone.accuracy


def test_a_removed_best_model_is_compared_by_its_recorded_accuracy(
    evaluated_alone, model, few, mnist, new_run, tmp_path
):
    removed_best = Best(
        tmp_path / "gone",
        digest="then",
        version=2,
        accuracy=evaluated_alone.accuracy + 0.011,
        kept=False,
        same_test=True,
    )
    evaluation = evaluated(
        model,
        few,
        new_run(),
        mnist,
        best=removed_best,
        gates=changed(paired=ALLOW_ALL.model_copy(update={"margin": 0.01}), budget=Budget()),
    )
    recorded = f"{removed_best.accuracy:.4f}, recorded for version 2, which is no longer kept"
    allows = "gates.budget allows a loss of 1.00 points against the best model ever served"
    assert evaluation.reasons == (f"accuracy {evaluated_alone.accuracy:.4f} against {recorded}; {allows}",)


def test_a_class_without_test_examples_is_refused(model, few, mnist, tmp_path, new_run):
    records = [
        r
        for r, label in zip(pictures.records(few, "test"), pictures.columns(few, "test")["label"], strict=True)
        if label != 8
    ]
    without_label_8 = dataclasses.replace(
        few, path=tmp_path, splits={"test": pictures.write(tmp_path, "test", records)}
    )
    evaluation = evaluated(model, without_label_8, new_run(), mnist)
    assert not evaluation.passed
    assert evaluation.reasons == ("label=8 has no test examples, so gates.per_class cannot be judged",)


def test_a_model_with_nan_weights_is_refused(model, features, few, mnist, tmp_path, new_run):
    network = keras.models.load_model(model.path / "model.keras")
    network.set_weights([np.full_like(w, math.nan) for w in network.get_weights()])
    saved_model.save(network, features, tmp_path / "model" / "saved_model")
    evaluation = evaluated(
        dataclasses.replace(model, path=tmp_path / "model"), few, new_run(), mnist, settings=WITH_SLICES
    )
    assert not evaluation.passed
    assert evaluation.reasons[0] == "overall: the model's probabilities are not numbers"
