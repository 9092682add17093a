"""The commands for a model's delivery: it waits, is approved, is rolled back, and stays rolled back."""

import json
import re

import pytest

from tests.end_to_end.real_line import REPOSITORY, Line

pytestmark = pytest.mark.slow

SMALL = (
    "train.epochs=1",
    "train.model.layers=[16]",
    "evaluate.corrupted=0",
    "gates.accuracy=0.3",
    "gates.per_class=0.11",
)
EASY = ("gates.paired={margin: 0.15, undecided: pass, worse: pass}", "gates.budget.margin=0.18")
MANUAL = ("push.approval=manual", "push.approvers=[ada, bob]", "push.keep=2")


@pytest.fixture(scope="module")
def gateline(sample, data_dir, environment, tmp_path_factory):
    """Commands on one ROOT."""
    return Line(tmp_path_factory.mktemp("delivery") / "root", data_dir, environment, (*SMALL, *EASY))


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    """A copy of the shipped contract that tests may edit."""
    path = tmp_path_factory.mktemp("schema") / "mnist.pbtxt"
    path.write_text((REPOSITORY / "schemas" / "mnist.pbtxt").read_text(encoding="utf-8"), encoding="utf-8")
    return path


def test_the_same_model_trained_again_is_not_pushed_twice(gateline):
    done = gateline("run")
    assert done.returncode == 0, done.stderr
    again = gateline("run", "--force", "train")
    assert again.returncode == 0, again.stderr
    assert f"nothing changed  {gateline.model_directory / '1'} already holds this model" in again.stdout
    keys = [path.name for path in (gateline.root / "artifacts" / "train").iterdir()]
    manifest = json.loads(
        (gateline.root / "artifacts" / "train" / keys[0] / "manifest.json").read_text(encoding="utf-8")
    )
    provenance = json.loads((gateline.model_directory / "1" / "provenance.json").read_text(encoding="utf-8"))
    assert len(keys) == 1
    assert provenance["identity"] == manifest["facts"]["identity"]
    assert provenance["model"] != manifest["digest"], "the bytes differ"
    assert gateline.versions() == ["1"]


def test_a_model_with_manual_approval_waits_and_the_run_says_how_to_approve_it(gateline, schema):
    done = gateline("run", sets=(*MANUAL, "train.seed=2", f"schema={schema}"))
    assert done.returncode == 0, done.stderr
    assert f"waiting  python -m pipeline approve 3 --by NAME --reason TEXT --root {gateline.root}" in done.stdout
    assert gateline.versions() == ["1"]
    (row,) = json.loads(gateline("approvals", "--json").stdout)
    assert (row["run"], row["decision"], row["overtaken"]) == (3, None, "")
    last = json.loads(gateline("runs", "--json").stdout)[0]
    assert (last["state"], last["exit_code"]) == ("waiting", 0)
    assert last["message"].startswith(
        "waiting: the model passed every gate and waits for approval\n  python -m pipeline approve 3 --by"
    )


def test_only_a_configured_approver_may_approve(gateline):
    done = gateline("approve", "3", "--by", "eve", "--reason", "looks fine")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "configuration: eve may not decide: push.approvers names ada, bob\n  Ask one of them.\n"


def test_a_failing_approve_records_no_decision(gateline, schema):
    content = schema.read_text(encoding="utf-8")
    schema.write_text("feature {", encoding="utf-8")
    done = gateline("approve", "3", "--by", "ada", "--reason", "looks fine")
    schema.write_text(content, encoding="utf-8")
    assert done.returncode == 2
    assert json.loads(gateline("approvals", "--json").stdout)[0]["decision"] is None


def test_an_approved_model_is_pushed_and_its_provenance_names_the_approver(gateline, schema):
    """An edit of the contract in the meantime only affects the next run."""
    schema.write_text(schema.read_text(encoding="utf-8") + "# looked at again\n", encoding="utf-8")
    done = gateline("approve", "3", "--by", "ada", "--reason", "looked at the mistakes")
    assert done.returncode == 0, done.stderr
    states = [line.split()[:2] for line in done.stderr.splitlines()]
    assert [name for name, state in states if state == "done"] == ["approve", "push"]
    assert len([name for name, state in states if state == "reused"]) == 8
    assert gateline.versions() == ["1", "2"]
    approved = json.loads((gateline.model_directory / "2" / "provenance.json").read_text(encoding="utf-8"))["approved"]
    assert (approved["by"], approved["reason"]) == ("ada", "looked at the mistakes")
    again = gateline("approve", "3", "--by", "bob", "--reason", "me too")
    assert again.returncode == 3
    assert re.match(r"refused: run 3 was approved by ada on \S+: looked at the mistakes\n", again.stderr)


def test_a_rolled_back_model_is_not_pushed_or_evaluated_again(gateline, schema):
    schema.write_text((REPOSITORY / "schemas" / "mnist.pbtxt").read_text(encoding="utf-8"), encoding="utf-8")
    rollback = gateline("serving", "rollback", "--reason", "slow on old phones")
    assert rollback.stdout == "version 3 serves the model of version 1 again, in place of version 2\n"
    done = gateline("run", sets=(*MANUAL, "train.seed=2", f"schema={schema}"))
    assert done.returncode == 3
    assert "refused: version 2, which is this model, was rolled back\n" in done.stderr
    assert "restore it: python -m pipeline serving rollback --to 2" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.split()[1:2] == ["reused"]]) == 8
    first = gateline("run")
    assert f"nothing changed  {gateline.model_directory / '3'} already holds this model" in first.stdout
    assert gateline.versions() == ["1", "2", "3"]


def test_serving_verify_finds_a_flipped_bit(gateline):
    assert gateline("serving", "verify").stdout.splitlines() == [
        f"mnist_sample/{number}  intact" for number in (1, 2, 3)
    ]
    weights = gateline.model_directory / "1" / "variables" / "variables.data-00000-of-00001"
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
    done = gateline("serving", "verify")
    assert done.returncode == 4
    assert (
        "mnist_sample/1  variables/variables.data-00000-of-00001 was altered: its SHA-256 differs from the manifest's\n"
        in done.stdout
    )
    assert done.stderr.startswith("data: mnist_sample/1 differs from what was pushed\n")
