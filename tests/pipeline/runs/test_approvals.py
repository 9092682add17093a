"""Approval requests and decisions: stored permanently; who may decide, and when."""

import datetime
import json
import sys
from pathlib import Path

import pytest
import sqlalchemy as sql

from pipeline import cli
from pipeline.config import load
from pipeline.lineage import Lineage
from pipeline.runs.approvals import Approvals
from pipeline.serving import ModelDirectory
from pipeline.store import Store
from schemas.artifacts import Approval
from schemas.errors import ConfigurationError, Refused
from tests.pipeline.published import model, publish

NOW = datetime.datetime.now(datetime.UTC)
CONFIG = load(profile="sample", sets=["push.approval=manual", "push.approvers=[ada, bob]", "push.approval_days=3"])


@pytest.fixture
def lineage(tmp_path, open_lineage):
    return open_lineage(f"sqlite:///{Store(tmp_path / 'root').root / 'lineage.db'}")


@pytest.fixture
def model_directory(tmp_path):
    directory = ModelDirectory(tmp_path / "serving", "mnist")
    publish(directory, model(tmp_path, "served"))
    return directory


def approvals_of(lineage):
    """The approvals of the store whose lineage this is."""
    return Approvals(lineage, Path(lineage.engine.url.database).parent)


def start_waiting_run(lineage, model_directory, *, model="new", days=1.0, root=None):
    """Records a run whose model waits for approval to replace `served`; returns its number."""
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
        directory=str(model_directory.path),
    )
    (Approvals(lineage, root) if root else approvals_of(lineage)).request(run, approval)
    lineage.finish(run, state="waiting", exit_code=0, message="waiting: ...")
    return run


def test_a_decision_is_stored_with_person_and_reason(lineage, model_directory):
    run, approvals = start_waiting_run(lineage, model_directory), approvals_of(lineage)
    assert approvals.decided(str(model_directory.path), "new") is None
    assert [(each.run, each.decision, each.baseline) for each in approvals.requests()] == [(run, None, "served")]
    approvals.decide(run, approved=True, by="ada", reason="fine")
    decision = approvals.decided(str(model_directory.path), "new")
    assert decision
    assert (decision.run, decision.approved, decision.by, decision.reason, decision.evaluation) == (
        run,
        True,
        "ada",
        "fine",
        "evaluation of new",
    )
    assert approvals.decided(str(model_directory.path), "another") is None
    assert approvals.decided("/elsewhere/mnist", "new") is None
    ended = lineage.run(run)
    assert (ended["state"], ended["exit_code"], ended["message"]) == ("approved", 0, "approved by ada: fine")


def test_a_rejection_ends_the_run_as_refused(lineage, model_directory):
    run = start_waiting_run(lineage, model_directory)
    approvals_of(lineage).decide(run, approved=False, by="bob", reason="blurry sevens")
    ended = lineage.run(run)
    assert (ended["state"], ended["exit_code"]) == ("refused", 3)
    assert ended["message"] == "refused: bob rejected this model: blurry sevens\n  Train a new model."


def test_the_last_decision_about_a_model_counts(lineage, model_directory):
    approvals = approvals_of(lineage)
    for approved in (True, False):
        approvals.decide(start_waiting_run(lineage, model_directory), approved=approved, by="ada", reason="")
    start_waiting_run(lineage, model_directory)
    decision = approvals.decided(str(model_directory.path), "new")
    assert decision
    assert (decision.run, decision.approved) == (2, False)


def test_only_configured_approvers_may_decide(lineage, model_directory):
    run = start_waiting_run(lineage, model_directory)
    request = approvals_of(lineage).request_of(run)
    request.check(lineage.run(run), CONFIG, "ada", "fine")
    with pytest.raises(ConfigurationError) as error:
        request.check(lineage.run(run), CONFIG, "eve", "fine")
    assert str(error.value) == "configuration: eve may not decide: push.approvers names ada, bob\n  Ask one of them."
    request.check(lineage.run(run), load(profile="sample"), "eve", "fine")


def test_a_request_is_superseded_when_another_version_is_served(lineage, model_directory, tmp_path):
    run = start_waiting_run(lineage, model_directory)
    request = approvals_of(lineage).request_of(run)
    assert request.superseded == ""
    publish(model_directory, model(tmp_path, "other"))
    with pytest.raises(Refused) as error:
        request.check(lineage.run(run), CONFIG, "ada", "fine")
    assert error.value.cause == "run 1 is superseded: version 2 is served now"
    assert error.value.remedy == "Evaluate again: python -m pipeline run"
    publish(model_directory, model(tmp_path, "bytes of new"), identity="new")
    assert request.superseded == "version 3 holds this model"


def test_an_old_evaluation_cannot_be_approved(lineage, model_directory):
    run = start_waiting_run(lineage, model_directory, days=9.2)
    with pytest.raises(Refused) as error:
        approvals_of(lineage).request_of(run).check(lineage.run(run), CONFIG, "ada", "fine")
    assert error.value.cause == "run 1 was evaluated 9.2 days ago; push.approval_days is 3"
    assert error.value.remedy == "Evaluate again: python -m pipeline run --force evaluate"


def test_a_decision_cannot_be_changed(lineage, model_directory):
    run = start_waiting_run(lineage, model_directory)
    approvals_of(lineage).decide(run, approved=False, by="bob", reason="blurry sevens")
    with pytest.raises(Refused, match=r"run 1 was rejected by bob on .*: blurry sevens"):
        approvals_of(lineage).request_of(run).check(lineage.run(run), CONFIG, "ada", "fine")


@pytest.mark.parametrize(("by", "reason"), [("ada", ""), ("ada", "  "), ("", "fine")])
def test_a_decision_needs_a_name_and_a_reason(lineage, model_directory, by, reason):
    run = start_waiting_run(lineage, model_directory)
    with pytest.raises(ConfigurationError, match=r"needs a name and a reason\n  Add --by NAME --reason TEXT\.$"):
        approvals_of(lineage).request_of(run).check(lineage.run(run), load(profile="sample"), by, reason)


def test_the_second_of_two_concurrent_decisions_is_refused(lineage, model_directory):
    """Both have read the request before either decides."""
    run = start_waiting_run(lineage, model_directory)
    approvals_of(lineage).decide(run, approved=False, by="bob", reason="blurry sevens")
    with pytest.raises(Refused, match=r"someone else has just decided on run 1\n  See python -m pipeline approvals\.$"):
        approvals_of(lineage).decide(run, approved=True, by="ada", reason="fine")
    assert approvals_of(lineage).request_of(run).person == "bob"
    assert lineage.run(run)["state"] == "refused"


def test_decisions_stay_valid_when_store_and_serving_directory_are_moved(tmp_path, open_lineage):
    for name in ("a", "b"):  # two stores that share a database
        root = Store(tmp_path / name).root
        lineage = Lineage.at(root, f"sqlite:///{tmp_path / 'shared.db'}")
        run = start_waiting_run(lineage, ModelDirectory(root / "serving", "mnist"), root=root)
        Approvals(lineage, root).decide(run, approved=name == "a", by="ada", reason="looked")
    root = (tmp_path / "a").rename(tmp_path / "moved")
    lineage = Lineage.at(root, f"sqlite:///{tmp_path / 'shared.db'}")
    approvals = Approvals(lineage, root)
    assert approvals.decided(str(root / "serving/mnist"), "new").approved
    assert approvals.request_of(1).directory == root / "serving/mnist"
    assert approvals.decided("/elsewhere/mnist", "new") is None


def test_a_run_without_a_request_is_refused(lineage):
    with pytest.raises(ConfigurationError) as error:
        approvals_of(lineage).request_of(7)
    assert str(error.value) == "configuration: run 7 does not wait for approval\n  See python -m pipeline approvals."


def test_a_database_without_approvals_is_migrated(lineage, open_lineage):
    with lineage.engine.begin() as c:
        c.execute(sql.text("DROP TABLE approvals"))
        c.execute(sql.text("UPDATE lineage_schema SET version = 2"))
    migrated = open_lineage(str(lineage.engine.url))
    assert approvals_of(migrated).requests() == []
    inspector = sql.inspect(migrated.engine)
    assert {column["name"] for column in inspector.get_columns("approvals")} >= {
        "run",
        "shelf",
        "model",
        "person",
        "decided",
    }
    assert [key["referred_table"] for key in inspector.get_foreign_keys("approvals")] == ["runs"]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command on ROOT and returns its output."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["gateline", *arguments])
        cli.app([*arguments, "--root", str(tmp_path / "root")], standalone_mode=False)
        return capsys.readouterr().out

    return command


def test_approvals_lists_requests_and_decisions(lineage, model_directory, tmp_path, command):
    assert command("approvals") == "no model waits for approval, and there are no decisions yet\n"
    for name in ("first", "second"):
        start_waiting_run(lineage, model_directory, model=name)
    approvals_of(lineage).decide(1, approved=False, by="bob", reason="\x1b[31mred sevens")
    rows = command("approvals").splitlines()
    assert [row.split()[0] for row in rows if "mnist" in row] == ["2", "1"]
    assert "waits" in rows[3]
    assert rows[4].split()[-3:] == ["bob", "[31mred", "sevens"]
    publish(model_directory, model(tmp_path, "other"))
    rows_as_json = json.loads(command("approvals", "--json"))
    assert [(row["run"], row["decision"], row["overtaken"]) for row in rows_as_json] == [
        (2, None, "version 2 is served now"),
        (1, "rejected", ""),
    ]


def test_reject_prints_and_records_the_decision(lineage: Lineage, model_directory: ModelDirectory, command):
    run = start_waiting_run(lineage, model_directory)
    assert command("reject", str(run), "--by", "ada", "--reason", "blurry sevens") == (
        "the model of run 1 was rejected by ada; it will not be pushed\n"
    )
    (request,) = approvals_of(lineage).requests()
    assert (request.decision, request.person, request.reason) == ("rejected", "ada", "blurry sevens")
