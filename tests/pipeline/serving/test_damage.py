"""A damaged serving directory: each fault is named, and stops no check or rollback that does not need the file."""

import json
import re
import shlex
from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory, Version
from schemas import disk
from schemas.errors import StoreError
from tests.pipeline.command_line import gateline
from tests.pipeline.published import model, publish


@pytest.fixture
def model_directory(tmp_path: Path) -> ModelDirectory:
    """Models one, two and three, as versions 1 to 3."""
    directory = ModelDirectory(tmp_path / "a root" / "serving", "mnist")
    for name in ("one", "two", "three"):
        publish(directory, model(tmp_path, name))
    return directory


def set_facts(path: Path, **facts: object) -> None:
    """Changes facts of a provenance file; those that are None are removed."""
    provenance = json.loads(path.read_text(encoding="utf-8")) | facts
    path.write_text(
        json.dumps({name: value for name, value in provenance.items() if value is not None}), encoding="utf-8"
    )


UNREADABLE = {
    "missing": (lambda path: path.unlink(), "it is missing"),
    "cut": (lambda path: path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8"), "it is not JSON"),
    "empty": (lambda path: path.write_text("", encoding="utf-8"), "it is not JSON"),
    "bytes": (lambda path: path.write_bytes(b"\xff\xfe"), "it is not JSON"),
    "deep": (lambda path: path.write_text("[" * 100_000, encoding="utf-8"), "it is not JSON"),
    "a list": (lambda path: path.write_text("[]", encoding="utf-8"), "it is not a JSON object"),
    "no model": (lambda path: set_facts(path, model=None), "`model` is missing"),
}
MISSHAPEN: dict[str, dict[str, object]] = {
    "model": {"model": 3},
    "identity": {"identity": ["two"]},
    "files": {"files": ["saved_model.pb"]},
    "files.saved_model.pb": {"files": {"saved_model.pb": 12}},
    "files.saved_model.pb.size": {"files": {"saved_model.pb": {"size": "12", "sha256": ""}}},
    "origin": {"origin": "two"},
    "version": {"version": 2.0},
    "test": {"test": 7},
    "accuracy": {"accuracy": "high"},
    "published": {"published": "yesterday"},
    "approved": {"approved": "ada"},
    "approved.by": {"approved": {"by": 7}},
    "rollback": {"rollback": True},
    "rollback.of": {"rollback": {"of": None, "to": 1, "reason": ""}},
}
DAMAGES = UNREADABLE | {
    key: (lambda path, facts=facts: set_facts(path, **facts), f"`{key}` is invalid") for key, facts in MISSHAPEN.items()
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_provenance_is_refused_with_a_remedy(model_directory: ModelDirectory, name: str) -> None:
    path = model_directory.path / "2" / "provenance.json"
    damage_file, message = DAMAGES[name]
    damage_file(path)
    with pytest.raises(StoreError) as error:
        Version.read(path.parent)
    assert error.value.cause == f"{path} was damaged since gateline wrote it: {message}"
    assert error.value.remedy == "Restore it from a copy, or move that version away."


def test_a_provenance_with_an_invalid_fact_is_reported_as_damaged_even_without_history(
    model_directory: ModelDirectory,
) -> None:
    path = model_directory.path / "2" / "provenance.json"
    set_facts(path, files=[])
    (model_directory.path / ".history" / "2.json").unlink()
    with pytest.raises(StoreError, match="was damaged since gateline wrote it: `files` is invalid"):
        model_directory.versions()


def test_a_flipped_bit_in_a_key_of_the_provenance_is_detected(model_directory: ModelDirectory) -> None:
    path = model_directory.path / "3" / "provenance.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"files"', '"fhles"'), encoding="utf-8")
    with pytest.raises(StoreError) as error:
        model_directory.version(3).check()
    assert error.value.cause == f"{path.parent} was altered since it was pushed: provenance.json names no files"


def test_verify_names_unreadable_files_and_continues_with_other_versions(model_directory: ModelDirectory) -> None:
    publish(model_directory, model(model_directory.root.parents[1], "four"))
    (model_directory.path / "1" / "provenance.json").unlink()
    set_facts(model_directory.path / "2" / "provenance.json", files=7)
    (model_directory.path / ".history" / "3.json").write_text("{", encoding="utf-8")
    (model_directory.path / "READ\aME").write_text("mine", encoding="utf-8")
    done = gateline("serving", "verify", "--serving-dir", model_directory.root)
    damaged = "provenance.json was damaged since gateline wrote it"
    assert done.stdout.splitlines() == [
        f"mnist/1  {model_directory.path}/1/{damaged}: it is missing",
        f"mnist/2  {model_directory.path}/2/{damaged}: `files` is invalid",
        f"mnist/3  {model_directory.path}/.history/3.json is not a record of a served version",
        "mnist/4  intact",
        f"mnist/README  {model_directory.path}/README in the serving directory was not written by gateline",
    ]
    assert done.returncode == 4
    assert done.stderr.startswith("data: mnist/1, mnist/2, mnist/3, mnist/README differ from what was pushed\n")


def test_verify_of_one_version_reads_no_other(model_directory: ModelDirectory) -> None:
    (model_directory.path / "1" / "provenance.json").unlink()
    assert gateline("serving", "verify", 2, "--serving-dir", model_directory.root).returncode == 0
    done = gateline("serving", "verify", 1, "--serving-dir", model_directory.root, "--json")
    assert (list(json.loads(done.stdout)), done.returncode) == (["mnist/1"], 4)
    done = gateline("serving", "verify", 7, "--serving-dir", model_directory.root)
    assert (done.stderr, done.returncode) == (
        f"configuration: there is no version 7 of mnist in {model_directory.root}\n  Its versions are 1, 2, 3.\n",
        2,
    )


def test_a_link_to_itself_is_reported(model_directory: ModelDirectory) -> None:
    graph = model_directory.path / "2" / "saved_model.pb"
    graph.unlink()
    graph.symlink_to(graph)
    assert model_directory.findings(graph.parent) == ["saved_model.pb is a symbolic link, or is behind one"]
    assert model_directory.findings(model_directory.path / "3") == []


def test_the_rollback_command_in_the_output_of_verify_works(model_directory: ModelDirectory, tmp_path: Path) -> None:
    other = ModelDirectory(model_directory.root, "fashion & more")
    for name in ("dress", "shirt"):
        publish(other, model(tmp_path, name))
    for each in (model_directory, other):
        (each.path / str(each.versions()[-1].number) / "saved_model.pb").write_text("broken", encoding="utf-8")
    done = gateline("serving", "verify", "--root", model_directory.root.parent)
    commands = re.findall(r"python -m (pipeline serving rollback [^;\n]+)", done.stderr)
    assert len(commands) == 2
    assert [gateline(*shlex.split(command)[1:]).returncode for command in commands] == [0, 0]
    assert [each.versions()[-1].digest for each in (model_directory, other)] == ["two", "dress"]


def test_the_withdrawal_message_names_the_model_directory(model_directory: ModelDirectory) -> None:
    model_directory.rollback()
    command = f"python -m pipeline serving rollback --to 3 --serving-dir '{model_directory.root}' --model mnist"
    assert model_directory.rolled_back_message(3)[1] == f"Train a new model, or restore it: {command}"
    assert gateline(*shlex.split(command)[3:]).returncode == 0
    assert model_directory.versions()[-1].digest == "three"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_old_version_does_not_prevent_a_rollback(model_directory: ModelDirectory, damage: str) -> None:
    DAMAGES[damage][0](model_directory.path / "1" / "provenance.json")
    assert model_directory.rollback().digest == "two"


def test_a_rollback_skips_unreadable_versions(model_directory: ModelDirectory) -> None:
    (model_directory.path / "2" / "provenance.json").unlink()
    (model_directory.path / ".history" / "2.json").write_text("{", encoding="utf-8")
    (model_directory.path / "README").write_text("mine", encoding="utf-8")
    assert model_directory.rollback().digest == "one"
    with pytest.raises(StoreError, match=r"2/provenance\.json was damaged since gateline wrote it: it is missing"):
        model_directory.rollback(to=2)
    assert model_directory.rollback(to=3).digest == "three"
    assert sorted(p.name for p in model_directory.path.glob("[!.]*")) == ["1", "2", "3", "4", "5", "README"]


def test_an_unreadable_served_version_is_rolled_back_from_its_record(model_directory: ModelDirectory) -> None:
    assert model_directory.rollback().digest == "two"
    (model_directory.path / "4" / "provenance.json").unlink()
    assert model_directory.rollback().digest == "one", "version 4 held model two"


def test_a_foreign_served_version_is_not_rolled_back(model_directory: ModelDirectory) -> None:
    (model_directory.path / "9").mkdir()
    with pytest.raises(
        StoreError, match=r"9 in the serving directory has no readable provenance\.json: it was not pushed by gateline"
    ):
        model_directory.rollback()


def test_a_target_that_differs_from_its_record_is_not_served_again(model_directory: ModelDirectory) -> None:
    set_facts(model_directory.path / "2" / "provenance.json", run=8)
    done = gateline("serving", "rollback", "--to", 2, "--serving-dir", model_directory.root)
    assert done.returncode == 4
    assert "provenance.json was altered: " in done.stderr


def test_a_pinned_version_that_was_removed_can_be_unpinned(model_directory: ModelDirectory) -> None:
    model_directory.pin(2)
    disk.remove(model_directory.path / "2")
    assert gateline("serving", "unpin", 2, "--serving-dir", model_directory.root).returncode == 0
    assert model_directory.pinned() == set()
    for command in ("pin", "unpin"):
        done = gateline("serving", command, 2, "--serving-dir", model_directory.root)
        assert (done.stderr.splitlines()[0], done.returncode) == (
            f"configuration: there is no version 2 of mnist in {model_directory.root}",
            2,
        )


def test_a_password_without_a_key_is_refused_and_changes_nothing(model_directory: ModelDirectory) -> None:
    done = gateline("serving", "rollback", "--password-env", "PW", "--serving-dir", model_directory.root)
    assert (done.stdout, done.stderr, done.returncode) == (
        "",
        "configuration: --password-env PW is for a key, and --key is missing\n  Add --key, or remove --password-env.\n",
        2,
    )
    assert [version.number for version in model_directory.versions()] == [1, 2, 3]
