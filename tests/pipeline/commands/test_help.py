"""Help and usage errors of all commands."""

import inspect
from pathlib import Path
from typing import get_type_hints

import pytest
import typer

from pipeline.cli import app
from tests.pipeline.command_line import gateline

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


def command(name: str) -> typer.core.TyperCommand:
    command_ = typer.main.get_command(app)
    for word in name.split():
        command_ = command_.commands[word]
    return command_


def test_the_list_of_commands_is_complete() -> None:
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


def test_main_help_lists_the_commands_and_exit_codes() -> None:
    done = gateline("--help")
    assert done.returncode == 0
    assert all(name.split()[0] in done.stdout for name in COMMANDS)
    assert (
        "0 done, 1 unexpected error, 2 configuration or usage, 3 model refused, 4 data refused, 5 locked" in done.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_a_usage_error_exits_with_2_and_a_message(arguments: tuple[str, ...], message: str) -> None:
    done = gateline(*arguments)
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "NoSuch" not in done.stderr
    assert done.returncode == 2


def test_every_path_option_expands_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves `--out=~/x` as it is; without expansion, a folder named `~` would be made."""
    monkeypatch.setenv("HOME", "/home/ann")
    values = {}
    for name in COMMANDS:
        context = command(name).context_class(command(name), info_name=name)
        hints = get_type_hints(inspect.unwrap(command(name).callback)) if command(name).callback else {}
        for parameter in command(name).params:
            if "Path" in str(hints.get(parameter.name)):
                value = parameter.process_value(context, ["~/x"] if parameter.multiple else "~/x")
                values[name, parameter.name] = value[0] if parameter.multiple else value
    assert {parameter for _, parameter in values} >= {"root", "serving_dir", "config", "out", "key", "public_key"}
    assert {each: value for each, value in values.items() if value != Path("/home/ann/x")} == {}
