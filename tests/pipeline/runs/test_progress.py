"""The progress of a run: lines on a pipe, a table on a terminal."""

import io

import pytest
from rich.console import Console

from pipeline.runs.progress import Board, Lines, watch


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, highlight=False, color_system=None)


def test_a_pipe_gets_one_line_per_event() -> None:
    pipe = console(terminal=False)
    with watch(pipe, ["train"]) as watching:
        assert isinstance(watching, Lines)
        watching.started("train")
        watching.message("train", "epoch 1 [of 3] " + "x" * 100)
        watching.ended("train", "ran", "epochs changed from 5 to 10", 12.34)
        watching.ended("push", "failed", "it broke", 0.0)
    assert pipe.file.getvalue().splitlines() == [
        "train          ...",
        "train          epoch 1 [of 3] " + "x" * 100,
        "train          done      12.3 s  (epochs changed from 5 to 10)",
        "push           failed     0.0 s  (it broke)",
    ]


def test_a_terminal_gets_a_table_of_stages_below_the_warnings() -> None:
    terminal_console = console(terminal=True)
    with watch(terminal_console, ["ingest", "train", "push"]) as watching:
        assert isinstance(watching, Board)
        watching.ended("ingest", "reused", "nothing changed", 0.0)
        watching.started("train")
        watching.message("train", "epoch 1 [of 3]")
        watching.message("train", "warning: odd images")
    output = terminal_console.file.getvalue()
    assert all(message in output for message in ("ingest", "reused", "nothing changed", "epoch 1 [of 3]", "push"))
    assert "train: warning: odd images" in output


@pytest.mark.parametrize("terminal", [True, False])
def test_control_characters_in_names_do_not_reach_the_terminal(terminal: bool) -> None:
    target = console(terminal=terminal)
    with watch(target, ["admit"]) as watching:
        watching.started("admit")
        watching.message("admit", "span-\x1b[31mred\a is quarantined")
        watching.message("admit", "warning: span-\x1b[31mred\a is far")
        watching.ended("admit", "ran", "span-\x1b[31mred\a is new", 0.1)
    output = target.file.getvalue()
    assert "span-[31mred" in output
    assert "\x1b[31m" not in output
    assert "\a" not in output
