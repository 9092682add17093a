"""approve: no model goes out that a person rejected, rolled back, or should have approved and has not."""

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
    at = (NOW - datetime.timedelta(days=days)).isoformat()
    return Decision(run=3, approved=approved, by="ada", reason="looked at it", at=at, evaluation=evaluation)


@pytest.fixture
def ask(tmp_path, lend):
    """What approve says of model `one`, which is to go to an empty shelf, or to the one that is given."""
    (tmp_path / "manifest.json").write_text(json.dumps({"made": EVALUATED.isoformat()}), encoding="utf-8")

    def ask(settings, said=None, shelf=None, asked=None):
        def decided(shelf, identity):
            (asked if asked is not None else []).append((shelf, identity))
            return said

        run = lend()
        evaluation = Evaluation(tmp_path, digest="evaluation", passed=True, accuracy=0.9, loss=0.3, saved_model="s")
        found = approve.function(
            Model(tmp_path, digest="bytes", epochs=1, validation_accuracy=0.9, identity="one"),
            evaluation,
            ServingCheck(tmp_path, passed=True),
            None,
            settings=settings,
            decided=decided,
            directory=shelf or ModelDirectory(tmp_path / "serving", "mnist"),
            run=run,
        )
        return found, run.logged

    return ask


def test_where_nobody_is_to_be_asked_a_model_passes_without_a_word(ask):
    found, said = ask(Push())
    assert (found.passed, found.by, said, refusal_of(found)) == (True, "", [], None)


def test_a_model_waits_until_somebody_approved_it(ask, tmp_path):
    asked = []
    found, said = ask(MANUAL, asked=asked)
    assert asked == [(str(tmp_path / "serving/mnist"), "one")]
    assert (found.passed, found.waiting, found.evaluation, found.baseline) == (False, True, "evaluation", None)
    assert said == ["the model passed every gate and waits for approval"]
    raised = refusal_of(found)
    assert isinstance(raised, Waiting)
    assert (raised.exit_code, str(raised)) == (0, "waiting: the model passed every gate and waits for approval")
    assert ask(MANUAL)[0] == found, "the same question is the same artifact"


def test_an_approved_model_passes_and_says_by_whom(ask):
    found, said = ask(MANUAL, decision())
    assert (found.passed, found.by, found.reason, said) == (True, "ada", "looked at it", ["approved by ada"])


@pytest.mark.parametrize(
    ("said", "words"),
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
def test_an_approval_of_something_else_or_too_long_ago_does_not_count(ask, said, words):
    found, _ = ask(MANUAL, said)
    assert (found.waiting, found.reasons, found.by) == (True, (words,), "")


@pytest.mark.parametrize("settings", [Push(), MANUAL], ids=["auto", "manual"])
def test_a_rejected_model_never_goes_out(ask, settings):
    found, _ = ask(settings, decision(approved=False, days=400))
    raised = refusal_of(found)
    assert isinstance(raised, Refused)
    assert (
        str(raised)
        == "refused: ada rejected this model (run 3): looked at it\n  Train a new model. Nothing was pushed."
    )
    assert raised.exit_code == 3


@pytest.fixture
def shelf(tmp_path):
    found = ModelDirectory(tmp_path / "shelves", "mnist")
    for name in ("zero", "one"):
        publish(found, model(tmp_path, name), identity=name)
    return found


def test_a_model_that_is_served_already_waits_for_nobody(ask, shelf):
    assert ask(MANUAL, shelf=shelf)[0].passed


def test_a_model_that_was_rolled_back_is_refused_even_if_it_was_approved(ask, shelf):
    shelf.rollback()
    raised = refusal_of(ask(MANUAL, decision(), shelf)[0])
    assert isinstance(raised, Refused)
    assert str(raised) == (
        "refused: version 2, which is this model, was rolled back\n"
        f"  Train a new model, or restore it: {shelf.command('rollback --to 2')}"
    )
    shelf.rollback(to=2)
    assert ask(MANUAL, shelf=shelf)[0].passed


def test_a_refused_model_is_never_asked_about(lend, tmp_path: Path):
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
            run=lend(),
        )
