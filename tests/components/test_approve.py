"""approve: a model is not pushed if it was rejected, rolled back, or lacks a required approval."""

import datetime
import json
from pathlib import Path

import pytest

from components.approve import approve
from pipeline.engine.plan import refusal_of
from pipeline.serving import ModelDirectory
from schemas.artifacts import Decision, Evaluation, Model, ServingCheck
from schemas.errors import Refused, Waiting
from schemas.settings.push import Push
from tests.pipeline.published import model, publish

NOW = datetime.datetime.now(datetime.UTC)
EVALUATED = NOW - datetime.timedelta(days=2)
MANUAL = Push(approval="manual", approval_days=1.5)


def decision(*, approved=True, days=1.0, evaluation="evaluation"):
    time = (NOW - datetime.timedelta(days=days)).isoformat()
    return Decision(run=3, approved=approved, by="ada", reason="looked at it", at=time, evaluation=evaluation)


@pytest.fixture
def ask(tmp_path, new_run):
    """Runs approve for model `one`, by default with an empty model directory: (approval, messages)."""
    stored = tmp_path / "artifacts" / "evaluate" / "3f9a"
    stored.mkdir(parents=True)
    (stored / "manifest.json").write_text(json.dumps({"made": EVALUATED.isoformat()}), encoding="utf-8")

    def ask(settings, decision_=None, model_directory=None, requests=None):
        def decided(model_directory, identity):
            (requests if requests is not None else []).append((model_directory, identity))
            return decision_

        run = new_run()
        evaluation = Evaluation(stored, digest="evaluation", passed=True, accuracy=0.9, loss=0.3, saved_model="s")
        approval = approve.function(
            Model(tmp_path, digest="bytes", epochs=1, validation_accuracy=0.9, identity="one"),
            evaluation,
            ServingCheck(tmp_path, passed=True),
            None,
            settings=settings,
            decided=decided,
            directory=model_directory or ModelDirectory(tmp_path / "serving", "mnist"),
            run=run,
        )
        return approval, run.logged

    return ask


def test_without_manual_approval_a_model_passes_without_a_message(ask):
    approval, logged = ask(Push())
    assert (approval.passed, approval.by, logged, refusal_of(approval)) == (True, "", [], None)


def test_a_model_waits_for_manual_approval(ask, tmp_path):
    requests = []
    approval, logged = ask(MANUAL, requests=requests)
    assert requests == [(str(tmp_path / "serving/mnist"), "one")]
    assert (approval.passed, approval.waiting, approval.evaluation, approval.baseline) == (
        False,
        True,
        "evaluation",
        None,
    )
    assert logged == ["the model passed every gate and waits for approval"]
    refusal = refusal_of(approval)
    assert isinstance(refusal, Waiting)
    assert (refusal.exit_code, str(refusal)) == (0, "waiting: the model passed every gate and waits for approval")
    assert ask(MANUAL)[0] == approval, "equal requests are equal artifacts"


def test_an_approved_model_passes_and_names_the_approver(ask):
    approval, logged = ask(MANUAL, decision())
    assert (approval.passed, approval.by, approval.reason, logged) == (True, "ada", "looked at it", ["approved by ada"])


@pytest.mark.parametrize(
    ("decision_", "message"),
    [
        (
            decision(evaluation="another"),
            "the model that ada approved in run 3 was evaluated again since and waits for approval again",
        ),
        (
            decision(days=2.5),
            "the model that ada approved in run 3 was evaluated again since and waits for approval again",
        ),
        (
            decision(days=1.6),
            "the model that ada approved in run 3 was approved more than 1.5 days ago, "
            "and waits for a new evaluation (--force evaluate)",
        ),
    ],
)
def test_an_approval_of_another_evaluation_or_an_expired_one_is_ignored(ask, decision_, message):
    approval, _ = ask(MANUAL, decision_)
    assert (approval.waiting, approval.reasons, approval.by) == (True, (message,), "")


@pytest.mark.parametrize("settings", [Push(), MANUAL], ids=["auto", "manual"])
def test_a_rejected_model_is_never_pushed(ask, settings):
    approval, _ = ask(settings, decision(approved=False, days=400))
    refusal = refusal_of(approval)
    assert isinstance(refusal, Refused)
    assert (
        str(refusal)
        == "refused: ada rejected this model (run 3): looked at it\n  Train a new model. Nothing was pushed."
    )
    assert refusal.exit_code == 3


@pytest.fixture
def model_directory(tmp_path):
    directory = ModelDirectory(tmp_path / "serving", "mnist")
    for name in ("zero", "one"):
        publish(directory, model(tmp_path, name), identity=name)
    return directory


def test_a_served_model_needs_no_approval(ask, model_directory):
    assert ask(MANUAL, model_directory=model_directory)[0].passed


def test_a_rolled_back_model_is_refused_despite_its_approval(ask, model_directory):
    model_directory.rollback()
    refusal = refusal_of(ask(MANUAL, decision(), model_directory)[0])
    assert isinstance(refusal, Refused)
    assert str(refusal) == (
        "refused: version 2, which is this model, was rolled back\n"
        f"  Train a new model, or restore it: {model_directory.command('rollback --to 2')}"
    )
    model_directory.rollback(to=2)
    assert ask(MANUAL, model_directory=model_directory)[0].passed


def test_a_refused_model_requests_no_approval(new_run, tmp_path: Path):
    evaluation = Evaluation(tmp_path, passed=False, accuracy=0.9, loss=0.3, saved_model="s")
    with pytest.raises(Refused, match="approve received a refused Evaluation"):
        approve.function(
            Model(tmp_path, epochs=1, validation_accuracy=0.9),
            evaluation,
            ServingCheck(tmp_path, passed=True),
            None,
            settings=Push(),
            decided=None,
            directory=ModelDirectory(tmp_path, "mnist"),
            run=new_run(),
        )
