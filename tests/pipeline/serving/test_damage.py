"""A damaged serving directory: each fault is named, and stops no check or rollback that does not need the file."""

import json
import re
import shlex
from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory, Version
from schemas import files
from schemas.errors import StoreError
from tests.pipeline.command_line import gateline
from tests.pipeline.shelves import model, publish


@pytest.fixture
def shelf(tmp_path: Path) -> ModelDirectory:
    """Models one, two and three, as versions 1 to 3."""
    found = ModelDirectory(tmp_path / "a root" / "serving", "mnist")
    for name in ("one", "two", "three"):
        publish(found, model(tmp_path, name))
    return found


def said(path: Path, **facts: object) -> None:
    """The provenance says these facts instead; of those that are None nothing."""
    found = json.loads(path.read_text(encoding="utf-8")) | facts
    path.write_text(json.dumps({name: value for name, value in found.items() if value is not None}), encoding="utf-8")


UNREADABLE = {
    "missing": (lambda path: path.unlink(), "it is missing"),
    "cut": (lambda path: path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8"), "it is not JSON"),
    "empty": (lambda path: path.write_text("", encoding="utf-8"), "it is not JSON"),
    "bytes": (lambda path: path.write_bytes(b"\xff\xfe"), "it is not JSON"),
    "deep": (lambda path: path.write_text("[" * 100_000, encoding="utf-8"), "it is not JSON"),
    "a list": (lambda path: path.write_text("[]", encoding="utf-8"), "it is not a JSON object"),
    "no model": (lambda path: said(path, model=None), "`model` is missing"),
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
    place: (lambda path, facts=facts: said(path, **facts), f"`{place}` is invalid")
    for place, facts in MISSHAPEN.items()
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_provenance_is_named_and_so_is_the_way_out(shelf: ModelDirectory, damage: str) -> None:
    path = shelf.path / "2" / "provenance.json"
    spoil, words = DAMAGES[damage]
    spoil(path)
    with pytest.raises(StoreError) as error:
        Version.read(path.parent)
    assert error.value.cause == f"{path} was damaged since gateline wrote it: {words}"
    assert error.value.remedy == "Restore it from a copy, or move that version away."


def test_a_provenance_of_which_a_fact_cannot_be_read_was_written_by_gateline_even_if_nothing_remembers_it(
    shelf: ModelDirectory,
) -> None:
    path = shelf.path / "2" / "provenance.json"
    said(path, files=[])
    (shelf.path / ".history" / "2.json").unlink()
    with pytest.raises(StoreError, match="was damaged since gateline wrote it: `files` is invalid"):
        shelf.versions()


def test_a_bit_flipped_in_the_name_of_the_manifest_is_found(shelf: ModelDirectory) -> None:
    path = shelf.path / "3" / "provenance.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"files"', '"fhles"'), encoding="utf-8")
    with pytest.raises(StoreError) as error:
        shelf.version(3).check()
    assert error.value.cause == f"{path.parent} was altered since it was pushed: provenance.json names no files"


def test_verify_names_what_cannot_be_read_and_goes_on_to_the_others(shelf: ModelDirectory) -> None:
    publish(shelf, model(shelf.root.parents[1], "four"))
    (shelf.path / "1" / "provenance.json").unlink()
    said(shelf.path / "2" / "provenance.json", files=7)
    (shelf.path / ".history" / "3.json").write_text("{", encoding="utf-8")
    (shelf.path / "READ\aME").write_text("mine", encoding="utf-8")
    done = gateline("serving", "verify", "--serving-dir", shelf.root)
    damaged = "provenance.json was damaged since gateline wrote it"
    assert done.stdout.splitlines() == [
        f"mnist/1  {shelf.path}/1/{damaged}: it is missing",
        f"mnist/2  {shelf.path}/2/{damaged}: `files` is invalid",
        f"mnist/3  {shelf.path}/.history/3.json is not a record of a served version",
        "mnist/4  intact",
        f"mnist/README  {shelf.path}/README in the serving directory was not written by gateline",
    ]
    assert done.returncode == 4
    assert done.stderr.startswith("data: mnist/1, mnist/2, mnist/3, mnist/README differ from what was pushed\n")


def test_verify_of_one_version_reads_no_other(shelf: ModelDirectory) -> None:
    (shelf.path / "1" / "provenance.json").unlink()
    assert gateline("serving", "verify", 2, "--serving-dir", shelf.root).returncode == 0
    done = gateline("serving", "verify", 1, "--serving-dir", shelf.root, "--json")
    assert (list(json.loads(done.stdout)), done.returncode) == (["mnist/1"], 4)
    done = gateline("serving", "verify", 7, "--serving-dir", shelf.root)
    assert (done.stderr, done.returncode) == (
        f"configuration: there is no version 7 of mnist in {shelf.root}\n  Its versions are 1, 2, 3.\n",
        2,
    )


def test_a_link_that_leads_to_itself_is_a_difference(shelf: ModelDirectory) -> None:
    graph = shelf.path / "2" / "saved_model.pb"
    graph.unlink()
    graph.symlink_to(graph)
    assert shelf.findings(graph.parent) == ["saved_model.pb is a symbolic link, or is behind one"]
    assert shelf.findings(shelf.path / "3") == []


def test_what_verify_says_to_type_takes_back_this_very_model(shelf: ModelDirectory, tmp_path: Path) -> None:
    other = ModelDirectory(shelf.root, "fashion & more")
    for name in ("dress", "shirt"):
        publish(other, model(tmp_path, name))
    for each in (shelf, other):
        (each.path / str(each.versions()[-1].number) / "saved_model.pb").write_text("broken", encoding="utf-8")
    done = gateline("serving", "verify", "--root", shelf.root.parent)
    commands = re.findall(r"python -m (pipeline serving rollback [^;\n]+)", done.stderr)
    assert len(commands) == 2
    assert [gateline(*shlex.split(command)[1:]).returncode for command in commands] == [0, 0]
    assert [each.versions()[-1].digest for each in (shelf, other)] == ["two", "dress"]


def test_words_of_withdrawal_name_the_shelf(shelf: ModelDirectory) -> None:
    shelf.rollback()
    command = f"python -m pipeline serving rollback --to 3 --serving-dir '{shelf.root}' --model mnist"
    assert shelf.withdrawal_message(3)[1] == f"Train a new model, or restore it: {command}"
    assert gateline(*shlex.split(command)[3:]).returncode == 0
    assert shelf.versions()[-1].digest == "three"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_old_version_does_not_keep_a_bad_one_served(shelf: ModelDirectory, damage: str) -> None:
    DAMAGES[damage][0](shelf.path / "1" / "provenance.json")
    assert shelf.rollback().digest == "two"


def test_a_rollback_passes_over_what_cannot_be_read_and_needs_no_more_than_its_target(shelf: ModelDirectory) -> None:
    (shelf.path / "2" / "provenance.json").unlink()
    (shelf.path / ".history" / "2.json").write_text("{", encoding="utf-8")
    (shelf.path / "README").write_text("mine", encoding="utf-8")
    assert shelf.rollback().digest == "one"
    with pytest.raises(StoreError, match=r"2/provenance\.json was damaged since gateline wrote it: it is missing"):
        shelf.rollback(to=2)
    assert shelf.rollback(to=3).digest == "three"
    assert sorted(p.name for p in shelf.path.glob("[!.]*")) == ["1", "2", "3", "4", "5", "README"]


def test_a_served_version_that_cannot_be_read_is_taken_back_by_what_is_remembered_of_it(shelf: ModelDirectory) -> None:
    assert shelf.rollback().digest == "two"
    (shelf.path / "4" / "provenance.json").unlink()
    assert shelf.rollback().digest == "one", "version 4 held model two"


def test_a_served_version_of_which_nothing_is_known_is_not_taken_back(shelf: ModelDirectory) -> None:
    (shelf.path / "9").mkdir()
    with pytest.raises(
        StoreError, match=r"9 in the serving directory has no readable provenance\.json: it was not pushed by gateline"
    ):
        shelf.rollback()


def test_a_target_whose_record_says_something_else_is_not_served_again(shelf: ModelDirectory) -> None:
    said(shelf.path / "2" / "provenance.json", run=8)
    done = gateline("serving", "rollback", "--to", 2, "--serving-dir", shelf.root)
    assert done.returncode == 4
    assert "provenance.json was altered: " in done.stderr


def test_what_is_pinned_and_gone_can_be_unpinned(shelf: ModelDirectory) -> None:
    shelf.pin(2)
    files.remove(shelf.path / "2")
    assert gateline("serving", "unpin", 2, "--serving-dir", shelf.root).returncode == 0
    assert shelf.pinned() == set()
    for command in ("pin", "unpin"):
        done = gateline("serving", command, 2, "--serving-dir", shelf.root)
        assert (done.stderr.splitlines()[0], done.returncode) == (
            f"configuration: there is no version 2 of mnist in {shelf.root}",
            2,
        )


def test_a_password_without_a_key_is_refused_and_nothing_is_served(shelf: ModelDirectory) -> None:
    done = gateline("serving", "rollback", "--password-env", "PW", "--serving-dir", shelf.root)
    assert (done.stdout, done.stderr, done.returncode) == (
        "",
        "configuration: --password-env PW is for a key, and --key is missing\n  Add --key, or remove --password-env.\n",
        2,
    )
    assert [version.number for version in shelf.versions()] == [1, 2, 3]
