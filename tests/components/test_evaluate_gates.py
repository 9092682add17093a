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
from tests.components.evaluations import ANY, TO_SEE, changed, evaluated, read


def test_a_better_model_passes(alone, compared):
    for evaluation in (alone, compared):
        assert evaluation.passed
        assert evaluation.reasons == ()
    assert (alone.baseline, compared.baseline) == (None, 4)
    gates = [(g["gate"], g["slice"], g["passed"]) for g in read(alone, "gates")]
    assert gates == [("accuracy", "overall", True), *(("per_class", f"label={k}", True) for k in range(10))]
    assert {"paired", "budget"} <= {g["gate"] for g in read(compared, "gates")}


def test_accuracy_below_the_gate_refuses(alone, model, few, mnist, lend):
    found = evaluated(model, few, lend(), mnist, gates=changed(accuracy=0.999))
    assert not found.passed
    assert found.reasons == (
        f"accuracy is {alone.accuracy:.4f}; gates.accuracy requires 0.9990 ({0.999 - alone.accuracy:.4f} short)",
    )
    assert "python -m pipeline report" in found.remedy
    assert "Nothing was pushed." in found.remedy
    assert not tfma.load_validation_result(str(found.path / "tfma")).validation_ok


def test_each_kind_of_gate_refuses_by_the_evaluation_itself(compared, model, worse, few, mnist, lend):
    """TFMA's validation and ours are compared in the stage: it raises if they differ."""

    def bound(row, family):
        return upper_bound(round(row["accuracy"] * row["count"]), row["count"], family_wise(0.95, family))

    metrics = read(compared, "metrics")["candidate"]
    slices = {name: bound(row, 4) for name, row in metrics["slices"].items() if name.startswith("ink=")}
    worst = min(slices, key=slices.get)
    shaken = bound(metrics["corruptions"]["noise"], 2)
    gates = changed(
        slices={"ink": slices[worst] + 1e-6, worst: slices[worst] + 1e-6},
        corruptions={"noise": shaken + 1e-6, "shift": 0.11},
        ece=metrics["overall"]["ece"] - 1e-6,
        brier=metrics["overall"]["brier"] - 1e-6,
    )
    found = evaluated(model, few, lend(), mnist, gates=gates, settings=TO_SEE)
    assert [g["gate"] for g in read(found, "gates") if not g["passed"]] == [
        "brier",
        "corruptions.noise",
        "ece",
        "slices.ink",
        f"slices.{worst}",
    ]
    levels = {g["gate"].split(".")[0]: g["level"] for g in read(found, "gates")}
    assert (levels["per_class"], levels["slices"], levels["corruptions"], levels["accuracy"]) == (
        "95% confidence for 9 slices together",  # one class has fewer than 30 images
        "95% confidence for 4 slices together",
        "95% confidence for 2 slices together",
        "",
    )


def test_a_worse_model_is_refused(compared, model, worse, few, mnist, lend):
    """The worse one as the candidate, the better one served: by comparison, by drop and by budget."""
    candidate = dataclasses.replace(model, path=worse.path.parent)
    better = Served(model.path / "saved_model", digest="d", version=9)
    best = Best(better.path, digest="b", version=9, accuracy=0.9, kept=True, same_test=True)
    gates = Gates(accuracy=0.11, per_class=0.11, min_examples=50, drop=0.01)
    found = evaluated(candidate, few, lend(), mnist, baseline=better, best=best, gates=gates)
    drop = compared.accuracy - found.accuracy
    assert drop > 0.01
    refused = {g["gate"]: g["words"] for g in read(found, "gates") if not g["passed"]}
    assert list(refused) == ["budget", "drop", "paired"]
    assert found.reasons == tuple(refused.values())
    words = f"accuracy {found.accuracy:.4f} is {drop:.4f} below the served model's {compared.accuracy:.4f}"
    words += "; gates.drop allows 0.0100"
    assert refused["drop"] == words
    assert refused["paired"].startswith(f"{100 * drop:.2f} points worse than version 9 (90 % interval -")
    assert refused["paired"].endswith("; gates.paired allows: better, equivalent")
    assert refused["budget"].endswith("; gates.budget allows a loss of 1.00 points against the best model ever served")
    assert found.baseline == 9


def test_the_best_ever_served_is_a_third_model(compared, alone, model, worse, few, mnist, lend):
    """The same model as candidate and baseline; the better one was served before."""
    candidate = dataclasses.replace(model, path=worse.path.parent)
    now = Served(worse.path, digest="now", version=9, test="digest of another test split")
    best = Best(model.path / "saved_model", digest="then", version=2, accuracy=0.9, kept=True, same_test=True)
    run = lend()
    found = evaluated(
        candidate,
        few,
        run,
        mnist,
        baseline=now,
        best=best,
        gates=changed(paired=ANY.model_copy(update={"margin": 0.01}), budget=Budget(), min_examples=50),
    )
    assert [g["gate"] for g in read(found, "gates") if not g["passed"]] == ["budget"]
    paired, budget = read(found, "comparisons")
    assert (paired["verdict"], paired["difference"], paired["version"]) == ("equivalent", 0, 9)
    assert (paired["same_test"], budget["same_test"]) == (False, True)
    assert run.logged[0] == "the test split changed since version 9 was pushed"
    assert budget["difference"] == pytest.approx(found.accuracy - alone.accuracy)
    assert read(found, "metrics")["best"]["overall"]["accuracy"] == alone.accuracy


def test_a_best_model_that_is_gone_is_compared_by_what_was_recorded(alone, model, few, mnist, lend, tmp_path):
    gone = Best(
        tmp_path / "gone", digest="then", version=2, accuracy=alone.accuracy + 0.011, kept=False, same_test=True
    )
    found = evaluated(
        model,
        few,
        lend(),
        mnist,
        best=gone,
        gates=changed(paired=ANY.model_copy(update={"margin": 0.01}), budget=Budget()),
    )
    before = f"{gone.accuracy:.4f}, recorded for version 2, which is no longer kept"
    allows = "gates.budget allows a loss of 1.00 points against the best model ever served"
    assert found.reasons == (f"accuracy {alone.accuracy:.4f} against {before}; {allows}",)


def test_a_class_without_test_examples_refuses(model, few, mnist, tmp_path, lend):
    kept = [
        r
        for r, label in zip(pictures.records(few, "test"), pictures.columns(few, "test")["label"], strict=True)
        if label != 8
    ]
    without_eights = dataclasses.replace(few, path=tmp_path, splits={"test": pictures.write(tmp_path, "test", kept)})
    found = evaluated(model, without_eights, lend(), mnist)
    assert not found.passed
    assert found.reasons == ("label=8 has no test examples, so gates.per_class cannot be judged",)


def test_a_model_whose_weights_are_no_numbers_is_refused(model, features, few, mnist, tmp_path, lend):
    network = keras.models.load_model(model.path / "model.keras")
    network.set_weights([np.full_like(w, math.nan) for w in network.get_weights()])
    saved_model.save(network, features, tmp_path / "model" / "saved_model")
    found = evaluated(dataclasses.replace(model, path=tmp_path / "model"), few, lend(), mnist, settings=TO_SEE)
    assert not found.passed
    assert found.reasons[0] == "overall: the model's probabilities are not numbers"
