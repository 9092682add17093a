"""The commands `serving ...`: what they print, and how they end."""

import json

import pytest

from pipeline import cli
from pipeline.serving import ModelDirectory
from schemas.errors import ConfigurationError, DataError
from tests.pipeline.command_line import gateline
from tests.pipeline.shelves import model, publish


@pytest.fixture
def shelf(tmp_path):
    found = ModelDirectory(tmp_path / "root" / "serving", "mnist")
    for number, name in enumerate(("one", "two", "three"), 1):
        publish(
            found, model(tmp_path, name), accuracy=0.9 + number / 100, approved={"by": "ada"} if number == 2 else None
        )
    return found


@pytest.fixture
def serving(tmp_path, capsys):
    """A command of `serving`; what it printed."""

    def serving(*arguments):
        cli.app(["serving", *arguments, "--root", str(tmp_path / "root")], standalone_mode=False)
        return capsys.readouterr().out

    return serving


def test_list_says_which_version_is_served_pinned_and_rolled_back(shelf, serving):
    shelf.pin(1)
    shelf.rollback(reason="slow on old phones")
    rows = [row.split(maxsplit=6) for row in serving("list").splitlines() if "mnist" in row]
    assert [(row[1], row[2]) for row in rows] == [("4", "0.9200"), ("3", "0.9300"), ("2", "0.9200"), ("1", "0.9100")]
    assert " ".join(rows[0][6].split()) == "ada served, rollback to version 2 from 3: slow on old phones"
    assert [row[6].split() for row in rows[1:]] == [["rolled", "back"], ["ada"], ["pinned"]]
    found = json.loads(serving("list", "--json"))
    assert [(row["version"], row["approved_by"], row["state"]) for row in found[2:]] == [
        (2, "ada", []),
        (1, "", ["pinned"]),
    ]


def test_verify_names_each_file_that_differs_and_ends_with_4(shelf, serving, capsys):
    assert serving("verify") == "mnist/1  intact\nmnist/2  intact\nmnist/3  intact\n"
    (shelf.path / "2" / "saved_model.pb").unlink()
    (shelf.path / "2" / "more").write_text("more", encoding="utf-8")
    with pytest.raises(DataError) as error:
        serving("verify")
    assert (
        capsys.readouterr().out
        == "mnist/1  intact\nmnist/2  saved_model.pb is missing\nmnist/2  more was added\nmnist/3  intact\n"
    )
    assert (error.value.exit_code, error.value.cause) == (4, "mnist/2 differs from what was pushed")
    assert serving("verify", "3") == "mnist/3  intact\n"
    assert json.loads(serving("verify", "1", "--json")) == {"mnist/1": []}


def test_rollback_says_what_serves_now(shelf, serving):
    assert (
        serving("rollback", "--reason", "slow")
        == "version 4 serves the model of version 2 again, in place of version 3\n"
    )
    found = json.loads(serving("rollback", "--to", "1", "--json"))
    assert (found["version"], found["of"], found["to"], found["path"]) == (5, 4, 1, str(shelf.path / "5"))


def test_pin_keeps_from_gc_and_unpin_gives_free(shelf, serving):
    assert serving("pin", "1") == "version 1 is pinned\n"
    assert serving("gc", "--keep", "2") == "nothing to remove\n"
    assert serving("unpin", "1") == "version 1 is no longer pinned\n"
    assert serving("gc", "--keep", "2", "--dry-run") == "mnist/1 would be removed\n"
    assert json.loads(serving("gc", "--keep", "2", "--dry-run", "--json")) == {"mnist": [1]}
    assert serving("gc", "--keep", "2") == "mnist/1 removed\n"
    assert [version.number for version in shelf.versions()] == [2, 3]


def test_where_there_are_several_models_one_must_be_named(shelf, serving, tmp_path):
    publish(ModelDirectory(shelf.root, "fashion"), model(tmp_path, "dress"))
    with pytest.raises(ConfigurationError) as error:
        serving("rollback")
    assert (error.value.cause, error.value.remedy) == (f"{shelf.root} serves fashion, mnist", "Name one with --model.")
    assert serving("verify", "--model", "fashion") == "fashion/1  intact\n"
    assert "fashion/1  intact" in serving("verify")
    with pytest.raises(ConfigurationError, match="serves no model shoes"):
        serving("list", "--model", "shoes")


def test_nothing_was_pushed_yet(tmp_path, serving):
    assert serving("list") == "nothing was pushed yet\n"
    assert serving("verify") == ""
    with pytest.raises(ConfigurationError, match=r"nothing was pushed to .* yet"):
        serving("rollback")


def test_a_served_version_of_somebody_else_is_one_line(shelf):
    (shelf.path / "9").mkdir()
    done = gateline("serving", "list", "--serving-dir", shelf.root)
    assert done.returncode == 2
    assert done.stderr == (
        f"store: {shelf.path / '9'} in the serving directory has no readable provenance.json: "
        "it was not pushed by gateline\n"
        "  Move it away, or name another --serving-dir. Nothing was changed.\n"
    )
