"""The commands `serving ...`: their output and exit codes."""

import json

import pytest

from pipeline import cli
from pipeline.serving import ModelDirectory
from schemas.errors import ConfigurationError, DataError
from tests.pipeline.command_line import gateline
from tests.pipeline.published import model, publish


@pytest.fixture
def model_directory(tmp_path):
    directory = ModelDirectory(tmp_path / "root" / "serving", "mnist")
    for number, name in enumerate(("one", "two", "three"), 1):
        publish(
            directory,
            model(tmp_path, name),
            accuracy=0.9 + number / 100,
            approved={"by": "ada"} if number == 2 else None,
        )
    return directory


@pytest.fixture
def serving(tmp_path, capsys):
    """Runs a command of `serving` and returns its output."""

    def serving(*arguments):
        cli.app(["serving", *arguments, "--root", str(tmp_path / "root")], standalone_mode=False)
        return capsys.readouterr().out

    return serving


def test_list_shows_served_pinned_and_rolled_back_versions(model_directory, serving):
    model_directory.pin(1)
    model_directory.rollback(reason="slow on old phones")
    rows = [row.split(maxsplit=6) for row in serving("list").splitlines() if "mnist" in row]
    assert [(row[1], row[2]) for row in rows] == [("4", "0.9200"), ("3", "0.9300"), ("2", "0.9200"), ("1", "0.9100")]
    assert " ".join(rows[0][6].split()) == "ada served, rollback to version 2 from 3: slow on old phones"
    assert [row[6].split() for row in rows[1:]] == [["rolled", "back"], ["ada"], ["pinned"]]
    rows_as_json = json.loads(serving("list", "--json"))
    assert [(row["version"], row["approved_by"], row["state"]) for row in rows_as_json[2:]] == [
        (2, "ada", []),
        (1, "", ["pinned"]),
    ]


def test_verify_names_each_changed_file_and_exits_with_4(model_directory, serving, capsys):
    assert serving("verify") == "mnist/1  intact\nmnist/2  intact\nmnist/3  intact\n"
    (model_directory.path / "2" / "saved_model.pb").unlink()
    (model_directory.path / "2" / "more").write_text("more", encoding="utf-8")
    with pytest.raises(DataError) as error:
        serving("verify")
    assert (
        capsys.readouterr().out
        == "mnist/1  intact\nmnist/2  saved_model.pb is missing\nmnist/2  more was added\nmnist/3  intact\n"
    )
    assert (error.value.exit_code, error.value.cause) == (4, "mnist/2 differs from what was pushed")
    assert serving("verify", "3") == "mnist/3  intact\n"
    assert json.loads(serving("verify", "1", "--json")) == {"mnist/1": []}


def test_rollback_prints_the_version_that_is_now_served(model_directory, serving):
    assert (
        serving("rollback", "--reason", "slow")
        == "version 4 serves the model of version 2 again, in place of version 3\n"
    )
    result = json.loads(serving("rollback", "--to", "1", "--json"))
    assert (result["version"], result["of"], result["to"], result["path"]) == (5, 4, 1, str(model_directory.path / "5"))


def test_gc_keeps_pinned_versions(model_directory, serving):
    assert serving("pin", "1") == "version 1 is pinned\n"
    assert serving("gc", "--keep", "2") == "nothing to remove\n"
    assert serving("unpin", "1") == "version 1 is no longer pinned\n"
    assert serving("gc", "--keep", "2", "--dry-run") == "mnist/1 would be removed\n"
    assert json.loads(serving("gc", "--keep", "2", "--dry-run", "--json")) == {"mnist": [1]}
    assert serving("gc", "--keep", "2") == "mnist/1 removed\n"
    assert [version.number for version in model_directory.versions()] == [2, 3]


def test_with_several_models_a_model_must_be_named(model_directory, serving, tmp_path):
    publish(ModelDirectory(model_directory.root, "fashion"), model(tmp_path, "dress"))
    with pytest.raises(ConfigurationError) as error:
        serving("rollback")
    assert (error.value.cause, error.value.remedy) == (
        f"{model_directory.root} serves fashion, mnist",
        "Name one with --model.",
    )
    assert serving("verify", "--model", "fashion") == "fashion/1  intact\n"
    assert "fashion/1  intact" in serving("verify")
    with pytest.raises(ConfigurationError, match="serves no model shoes"):
        serving("list", "--model", "shoes")


def test_commands_before_the_first_push(tmp_path, serving):
    assert serving("list") == "nothing was pushed yet\n"
    assert serving("verify") == ""
    with pytest.raises(ConfigurationError, match=r"nothing was pushed to .* yet"):
        serving("rollback")


def test_a_foreign_version_is_refused_with_one_line(model_directory):
    (model_directory.path / "9").mkdir()
    done = gateline("serving", "list", "--serving-dir", model_directory.root)
    assert done.returncode == 2
    assert done.stderr == (
        f"store: {model_directory.path / '9'} in the serving directory has no readable provenance.json: "
        "it was not pushed by gateline\n"
        "  Move it away, or name another --serving-dir. Nothing was changed.\n"
    )
