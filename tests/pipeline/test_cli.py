"""The commands: what they print, and how they exit."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from pipeline.cli import app
from pipeline.lineage import Lineage
from pipeline.store import Store

COMMANDS = (
    "run",
    "tune",
    "runs",
    "show",
    "report",
    "compare",
    "init",
    "settings",
    "stages",
    "schema infer",
    "schedule",
    "schedule status",
    "approvals",
    "approve",
    "reject",
    "serving",
    "serving list",
    "serving verify",
    "serving rollback",
    "serving pin",
    "serving unpin",
    "serving gc",
    "store",
    "store verify",
    "store gc",
)
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GATELINE_")},
    "COLUMNS": "200",
    "NO_COLOR": "1",
    "TERM": "dumb",
}


def gateline(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, cwd=cwd, timeout=300)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with two runs, the second of them refused."""
    root = Store(tmp_path / "root").root
    lineage = Lineage.at(root, None)
    first, second = (
        lineage.start(profile=name, command=f"python -m pipeline run -p {name}", config={})
        for name in ("sample", "mnist")
    )
    lineage.executed(
        first,
        "ingest",
        state="ran",
        why="first time",
        seconds=1.5,
        key="k",
        digest="d",
        path=str(root / "gone"),
        facts={},
    )
    lineage.executed(second, "ingest", state="reused", why="nothing changed", seconds=0.0)
    lineage.finish(first, state="pushed", exit_code=0)
    lineage.finish(
        second, state="refused", exit_code=3, message="refused: accuracy is 0.500; the floor is 0.900\n  Train longer."
    )
    lineage.engine.dispose()
    return root


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A store with unforeseen damage: a run whose configuration is no JSON, and a folder in place of a log."""
    root = Store(tmp_path / "root").root
    lineage = Lineage.at(root, None)
    lineage.start(profile="sample", command="", config={})
    lineage.engine.dispose()
    with contextlib.closing(sqlite3.connect(root / "lineage.db")) as connection:
        connection.execute("UPDATE runs SET config = '{'")
        connection.commit()
    (root / "logs" / "run-2.log").mkdir()
    return root


def command(name: str) -> typer.core.TyperCommand:
    found = typer.main.get_command(app)
    for word in name.split():
        found = found.commands[word]
    return found


def test_these_are_all_the_commands() -> None:
    group = typer.main.get_command(app)
    inner = {f"{name} {n}" for name, command in group.commands.items() for n in getattr(command, "commands", ())}
    assert set(COMMANDS) == inner | set(group.commands) - {"schema"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_documents_the_command_and_every_option(name: str) -> None:
    done = gateline(*name.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(command(name).help) > 20
    assert command(name).help.split(",")[0].split("\n")[0] in done.stdout
    for parameter in command(name).params:
        assert len(parameter.help or "") > 5, f"{parameter.name} is not documented"
        assert " ".join(parameter.help.split()).split(". ")[0][:60] in " ".join(done.stdout.split())
        assert all(option in done.stdout for option in parameter.opts if option.startswith("-"))


def test_help_of_the_program_lists_the_commands_and_exit_codes() -> None:
    done = gateline("--help")
    assert done.returncode == 0
    assert all(name.split()[0] in done.stdout for name in COMMANDS)
    assert (
        "0 done, 1 unexpected error, 2 configuration or usage, 3 model refused, 4 data refused, 5 locked" in done.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Usage: gateline"),
        (("run", "--bogus"), "No such option: --bogus"),
        (("runn",), "No such command 'runn'"),
        (("run", "--set"), "Option '--set' requires an argument"),
        (("runs", "--limit", "0"), "greater than or equal to 1"),
        (("show", "last"), "valid integer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(arguments: tuple[str, ...], words: str) -> None:
    done = gateline(*arguments)
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "NoSuch" not in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize("name", ["runs", "show", "report"])
def test_without_a_store_there_is_nothing_to_show(name: str, tmp_path: Path) -> None:
    done = gateline(name, "--root", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"configuration: there is no store at {tmp_path / 'none'}\n"
        "  Run the line first, or name the store with --root.\n"
    )
    assert not (tmp_path / "none").exists()


def test_in_an_empty_store_there_is_no_run_yet(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    done = gateline("report", "--root", root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"configuration: there is no run yet in {root}\n  List them with python -m pipeline runs.\n"


def test_an_unknown_run_is_refused(root: Path) -> None:
    done = gateline("show", 9, "--root", root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"configuration: there is no run 9 in {root}\n  List them with python -m pipeline runs.\n"


def test_runs_are_listed_the_newest_first(root: Path) -> None:
    done = gateline("runs", "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert [row[:2] for row in rows] == [["2", "mnist"], ["1", "sample"]]
    assert "refused: accuracy is 0.500; the floor is 0.900" in done.stdout
    listed = json.loads(gateline("runs", "--root", root, "--limit", 1, "--json").stdout)
    assert [(row["run"], row["state"]) for row in listed] == [(2, "refused")]


def test_a_run_is_shown_with_its_stages_and_why(root: Path) -> None:
    done = gateline("show", 1, "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(
        words in done.stdout for words in ("python -m pipeline run -p sample", "ingest", "ran", "first time", "pushed")
    )
    shown = json.loads(gateline("show", "--root", root, "--json").stdout)
    assert (shown["run"], shown["stages"][0]["why"]) == (2, "nothing changed")


def test_a_report_of_a_run_whose_artifacts_are_gone_is_written_and_says_so(root: Path) -> None:
    done = gateline("report", 1, "--root", root, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    reported = json.loads(done.stdout)
    assert reported["missing"] == ["ingest"]
    assert "<html" in Path(reported["html"]).read_text(encoding="utf-8")


def test_the_store_may_be_named_by_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "GATELINE_ROOT", str(root))
    assert [row["run"] for row in json.loads(gateline("runs", "--json").stdout)] == [2, 1]


def test_settings_are_listed_for_people_and_for_programs() -> None:
    done = gateline("settings", "--json")
    rows = {row["key"]: row for row in json.loads(done.stdout)}
    assert rows["train.epochs"] == {
        "key": "train.epochs",
        "type": "int",
        "default": "10",
        "meaning": "passes over train",
    }
    text = gateline("settings").stdout
    assert all(key in text for key in rows)


def test_a_bad_configuration_exits_with_2_and_makes_no_store(tmp_path: Path) -> None:
    done = gateline("run", "--set", "train.epoch=3", "--root", tmp_path / "root")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "configuration: train.epoch is not a setting. Did you mean train.epochs? (profile sample, --set)\n"
    )
    assert not (tmp_path / "root").exists()


def test_a_name_in_an_error_does_not_drive_the_terminal(tmp_path: Path) -> None:
    done = gateline("run", "--profile", "\x1b[31mred\a", "--root", tmp_path / "root")
    assert done.stderr.startswith("configuration: there is no profile [31mred\n")


def test_an_unknown_stage_exits_with_2(tmp_path: Path) -> None:
    done = gateline("run", "--dry-run", "--from", "trian", "--root", tmp_path / "root")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "configuration: trian is not a stage of this run\n  Its stages are ingest, describe, "
    )


def test_a_dry_run_says_what_would_run_and_runs_nothing(tmp_path: Path) -> None:
    done = gateline("run", "--dry-run", "--json", "--root", tmp_path / "root")
    assert (done.returncode, done.stderr) == (0, "")
    steps = json.loads(done.stdout)
    assert steps[0] == {"stage": "source_data", "action": "resolve", "why": "looked up"}
    assert steps[1] == {"stage": "ingest", "action": "run", "why": "first time"}
    assert steps[-1]["stage"] == "push"
    written = {p.name for p in (tmp_path / "root").rglob("*") if p.is_file() and not p.name.startswith(".")}
    assert {"store.json"} <= written <= {"store.json", "digests.json"}  # digests of prepared files are cached
    assert [p.name for p in tmp_path.iterdir()] == ["root"]


def test_a_run_beside_another_exits_with_5(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    with store.lock(wait=False):
        done = gateline("run", "--root", store.root)
    assert (
        done.stderr
        == f"locked: another run holds {store.root / 'lock'}\n  Wait for it with --wait, or name another --root.\n"
    )
    assert (done.returncode, done.stdout) == (5, "")


def test_an_unexpected_error_is_one_line_and_exits_with_1(broken: Path) -> None:
    done = gateline("run", "--root", broken)
    assert (done.returncode, done.stdout) == (1, "")
    first, *notes = done.stderr.splitlines()
    assert first.startswith("error: IsADirectoryError: ")
    assert notes == ["  Run again with -v for the traceback.", f"  log: {broken / 'logs' / 'run-2.log'}"]


def test_an_unexpected_error_shows_its_traceback_with_v(broken: Path) -> None:
    done = gateline("runs", "--root", broken, "-v")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert "json.decoder.JSONDecodeError: " in done.stderr


@pytest.mark.parametrize("name", ["runs", "report"])
def test_where_the_remedy_is_v_the_command_takes_it(name: str, broken: Path) -> None:
    done = gateline(name, "--root", broken)
    assert done.returncode == 1
    assert "-v" not in done.stderr or "JSONDecodeError" in gateline(name, "--root", broken, "-v").stderr


@pytest.mark.parametrize("name", ["runs", "show", "report"])
def test_a_store_of_a_newer_version_is_not_read(name: str, root: Path) -> None:
    (root / "store.json").write_text('{"format": 2}', encoding="utf-8")
    found = gateline(name, "--root", root)
    assert found.returncode == 2
    assert f"the store {root} has format 2, this version of gateline supports 1" in found.stderr
    assert "Upgrade gateline" in found.stderr


def test_the_number_of_a_run_has_an_end(root: Path) -> None:
    assert gateline("show", "9" * 30, "--root", root).returncode == 2


@pytest.mark.parametrize(
    "raised",
    ["KeyboardInterrupt", "RuntimeError('of a library') from KeyboardInterrupt()", "OSError('met on the way')"],
)
def test_being_asked_to_end_is_told_from_an_error_whatever_a_library_makes_of_it(raised: str) -> None:
    """While a class is made, Python 3.11 makes a RuntimeError of a KeyboardInterrupt."""
    program = (
        "import sys\nfrom pipeline import cli\n"
        f"def app(**_):\n    try:\n        raise {'KeyboardInterrupt' if 'way' in raised else 'ValueError'}\n"
        f"    except BaseException:\n        raise {raised}\n"
        "cli.app = app\ncli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=60
    )
    assert (done.returncode, done.stderr) == (
        130,
        "interrupted: finished stages are kept\n  The next run continues from them.\n",
    )


def test_being_asked_to_end_before_there_is_a_run_is_said_too() -> None:
    program = (
        "import sys\nfrom pipeline import cli\nsys.argv = ['gateline', 'stop']\n"
        "@cli.app.command()\ndef stop() -> None:\n    raise KeyboardInterrupt\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=60
    )
    assert (done.returncode, done.stderr.lstrip()) == (
        130,
        "interrupted: finished stages are kept\n  The next run continues from them.\n",
    )
