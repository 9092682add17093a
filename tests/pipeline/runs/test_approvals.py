"""Questions and answers about models, kept for good; and who may answer, about what."""

import datetime
import json
import sys
from pathlib import Path

import pytest
import sqlalchemy as sql

from pipeline import cli
from pipeline.config import load
from pipeline.lineage import Lineage
from pipeline.runs.approvals import Approvals, check, overtaken
from pipeline.serving import ModelDirectory
from pipeline.store import Store
from schemas.artifacts import Approval
from schemas.errors import ConfigurationError, Refused
from tests.pipeline.shelves import model, publish

NOW = datetime.datetime.now(datetime.UTC)
CONFIG = load(profile="sample", sets=["push.approval=manual", "push.approvers=[ada, bob]", "push.approval_days=3"])


@pytest.fixture
def lineage(tmp_path, opened):
    return opened(f"sqlite:///{Store(tmp_path / 'root').root / 'lineage.db'}")


@pytest.fixture
def shelf(tmp_path):
    found = ModelDirectory(tmp_path / "serving", "mnist")
    publish(found, model(tmp_path, "served"))
    return found


def answers(lineage):
    """Of the store that the lineage lies in."""
    return Approvals(lineage, Path(lineage.engine.url.database).parent)


def waiting(lineage, shelf, *, model="new", days=1.0, root=None):
    """A run whose model waits to take the place of `served`; its number."""
    run = lineage.start(
        profile="sample", command="python -m pipeline run", config=CONFIG.model_dump(mode="json", by_alias=True)
    )
    approval = Approval(
        Path(),
        passed=False,
        waiting=True,
        model=model,
        evaluation=f"evaluation of {model}",
        evaluated=(NOW - datetime.timedelta(days=days)).isoformat(),
        baseline="served",
        shelf=str(shelf.path),
    )
    (Approvals(lineage, root) if root else answers(lineage)).ask(run, approval)
    lineage.finish(run, state="waiting", exit_code=0, message="waiting: ...")
    return run


def test_what_was_answered_is_kept_for_good_with_who_and_why(lineage, shelf):
    run, approvals = waiting(lineage, shelf), answers(lineage)
    assert approvals.decided(str(shelf.path), "new") is None
    assert [(row["run"], row["decision"], row["baseline"]) for row in approvals.rows()] == [(run, None, "served")]
    approvals.decide(run, approved=True, by="ada", reason="fine")
    found = approvals.decided(str(shelf.path), "new")
    assert found
    assert (found.run, found.approved, found.by, found.reason, found.evaluation) == (
        run,
        True,
        "ada",
        "fine",
        "evaluation of new",
    )
    assert approvals.decided(str(shelf.path), "another") is None
    assert approvals.decided("/elsewhere/mnist", "new") is None
    ended = lineage.run(run)
    assert (ended["state"], ended["exit_code"], ended["message"]) == ("approved", 0, "approved by ada: fine")


def test_a_rejection_ends_the_run_as_refused_by_a_person(lineage, shelf):
    run = waiting(lineage, shelf)
    answers(lineage).decide(run, approved=False, by="bob", reason="blurry sevens")
    ended = lineage.run(run)
    assert (ended["state"], ended["exit_code"]) == ("refused", 3)
    assert ended["message"] == "refused: bob rejected this model: blurry sevens\n  Train a new model."


def test_the_last_answer_about_a_model_counts(lineage, shelf):
    approvals = answers(lineage)
    for approved in (True, False):
        approvals.decide(waiting(lineage, shelf), approved=approved, by="ada", reason="")
    waiting(lineage, shelf)
    found = approvals.decided(str(shelf.path), "new")
    assert found
    assert (found.run, found.approved) == (2, False)


def test_only_those_who_are_named_may_answer(lineage, shelf):
    run = waiting(lineage, shelf)
    row = answers(lineage).row(run)
    check(row, lineage.run(run), CONFIG, "ada", "fine")
    with pytest.raises(ConfigurationError) as error:
        check(row, lineage.run(run), CONFIG, "eve", "fine")
    assert str(error.value) == "configuration: eve may not decide: push.approvers names ada, bob\n  Ask one of them."
    check(row, lineage.run(run), load(profile="sample"), "eve", "fine")


def test_what_is_served_changed_so_the_question_no_longer_stands(lineage, shelf, tmp_path):
    run = waiting(lineage, shelf)
    row = answers(lineage).row(run)
    assert overtaken(row) == ""
    publish(shelf, model(tmp_path, "other"))
    with pytest.raises(Refused) as error:
        check(row, lineage.run(run), CONFIG, "ada", "fine")
    assert error.value.cause == "run 1 is overtaken: version 2 is served now"
    assert error.value.remedy == "Evaluate again: python -m pipeline run"
    publish(shelf, model(tmp_path, "bytes of new"), identity="new")
    assert overtaken(row) == "version 3 holds this model"


def test_an_evaluation_of_long_ago_is_not_approved(lineage, shelf):
    run = waiting(lineage, shelf, days=9.2)
    with pytest.raises(Refused) as error:
        check(answers(lineage).row(run), lineage.run(run), CONFIG, "ada", "fine")
    assert error.value.cause == "run 1 was evaluated 9.2 days ago; push.approval_days is 3"
    assert error.value.remedy == "Evaluate again: python -m pipeline run --force evaluate"


def test_an_answer_is_not_changed(lineage, shelf):
    run = waiting(lineage, shelf)
    answers(lineage).decide(run, approved=False, by="bob", reason="blurry sevens")
    with pytest.raises(Refused, match=r"run 1 was rejected by bob on .*: blurry sevens"):
        check(answers(lineage).row(run), lineage.run(run), CONFIG, "ada", "fine")


@pytest.mark.parametrize(("by", "reason"), [("ada", ""), ("ada", "  "), ("", "fine")])
def test_an_answer_has_a_name_and_a_reason(lineage, shelf, by, reason):
    run = waiting(lineage, shelf)
    with pytest.raises(ConfigurationError, match=r"needs a name and a reason\n  Add --by NAME --reason TEXT\.$"):
        check(answers(lineage).row(run), lineage.run(run), load(profile="sample"), by, reason)


def test_of_two_who_answer_at_once_one_is_told_that_it_was_the_other(lineage, shelf):
    """Both have looked before either decides."""
    run = waiting(lineage, shelf)
    answers(lineage).decide(run, approved=False, by="bob", reason="blurry sevens")
    with pytest.raises(Refused, match=r"someone else has just decided on run 1\n  See python -m pipeline approvals\.$"):
        answers(lineage).decide(run, approved=True, by="ada", reason="fine")
    assert answers(lineage).row(run)["person"] == "bob"
    assert lineage.run(run)["state"] == "refused"


def test_answers_go_along_with_a_store_that_is_moved_with_what_it_serves(tmp_path, opened):
    for name in ("a", "b"):  # two stores that share a database
        root = Store(tmp_path / name).root
        lineage = Lineage.at(root, f"sqlite:///{tmp_path / 'shared.db'}")
        run = waiting(lineage, ModelDirectory(root / "serving", "mnist"), root=root)
        Approvals(lineage, root).decide(run, approved=name == "a", by="ada", reason="looked")
    root = (tmp_path / "a").rename(tmp_path / "moved")
    lineage = Lineage.at(root, f"sqlite:///{tmp_path / 'shared.db'}")
    found = Approvals(lineage, root)
    assert found.decided(str(root / "serving/mnist"), "new").approved
    assert found.row(1)["shelf"] == str(root / "serving/mnist")
    assert found.decided("/elsewhere/mnist", "new") is None


def test_a_run_that_asked_nothing_has_no_answer(lineage):
    with pytest.raises(ConfigurationError) as error:
        answers(lineage).row(7)
    assert str(error.value) == "configuration: run 7 does not wait for approval\n  See python -m pipeline approvals."


def test_a_database_from_before_approvals_learns_of_them(lineage, opened):
    with lineage.engine.begin() as c:
        c.execute(sql.text("DROP TABLE approvals"))
        c.execute(sql.text("UPDATE lineage_schema SET version = 2"))
    found = opened(str(lineage.engine.url))
    assert answers(found).rows() == []
    there = sql.inspect(found.engine)
    assert {column["name"] for column in there.get_columns("approvals")} >= {
        "run",
        "shelf",
        "model",
        "person",
        "decided",
    }
    assert [key["referred_table"] for key in there.get_foreign_keys("approvals")] == ["runs"]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """A command over that ROOT; what it printed."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["gateline", *arguments])
        cli.app([*arguments, "--root", str(tmp_path / "root")], standalone_mode=False)
        return capsys.readouterr().out

    return command


def test_approvals_lists_what_waits_and_what_was_decided(lineage, shelf, tmp_path, command):
    assert command("approvals") == "no model waits for approval, and there are no decisions yet\n"
    for name in ("first", "second"):
        waiting(lineage, shelf, model=name)
    answers(lineage).decide(1, approved=False, by="bob", reason="\x1b[31mred sevens")
    rows = command("approvals").splitlines()
    assert [row.split()[0] for row in rows if "mnist" in row] == ["2", "1"]
    assert "waits" in rows[3]
    assert rows[4].split()[-3:] == ["bob", "[31mred", "sevens"]
    publish(shelf, model(tmp_path, "other"))
    found = json.loads(command("approvals", "--json"))
    assert [(row["run"], row["decision"], row["overtaken"]) for row in found] == [
        (2, None, "version 2 is served now"),
        (1, "rejected", ""),
    ]


def test_reject_says_so(lineage: Lineage, shelf: ModelDirectory, command):
    run = waiting(lineage, shelf)
    assert command("reject", str(run), "--by", "ada", "--reason", "blurry sevens") == (
        "the model of run 1 was rejected by ada; it will not be pushed\n"
    )
    (row,) = answers(lineage).rows()
    assert (row["decision"], row["person"], row["reason"]) == ("rejected", "ada", "blurry sevens")
