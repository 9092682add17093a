"""What a run shows: lines for programs, a table on a terminal."""

import io

import pytest
from rich.console import Console

from pipeline.runs.progress import Board, Lines, watch


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, highlight=False, color_system=None)


def test_a_pipe_gets_a_line_for_each_thing_that_happens() -> None:
    to = console(terminal=False)
    with watch(to, ["train"]) as watching:
        assert isinstance(watching, Lines)
        watching.started("train")
        watching.message("train", "epoch 1 [of 3] " + "x" * 100)
        watching.ended("train", "ran", "epochs changed from 5 to 10", 12.34)
        watching.ended("push", "failed", "it broke", 0.0)
    assert to.file.getvalue().splitlines() == [
        "train          ...",
        "train          epoch 1 [of 3] " + "x" * 100,
        "train          done      12.3 s  (epochs changed from 5 to 10)",
        "push           failed     0.0 s  (it broke)",
    ]


def test_a_terminal_gets_a_table_of_all_stages_and_warnings_above_it() -> None:
    to = console(terminal=True)
    with watch(to, ["ingest", "train", "push"]) as watching:
        assert isinstance(watching, Board)
        watching.ended("ingest", "reused", "nothing changed", 0.0)
        watching.started("train")
        watching.message("train", "epoch 1 [of 3]")
        watching.message("train", "warning: odd images")
    shown = to.file.getvalue()
    assert all(words in shown for words in ("ingest", "reused", "nothing changed", "epoch 1 [of 3]", "push"))
    assert "train: warning: odd images" in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_names_do_not_drive_the_terminal(terminal: bool) -> None:
    to = console(terminal=terminal)
    with watch(to, ["admit"]) as watching:
        watching.started("admit")
        watching.message("admit", "span-\x1b[31mred\a is quarantined")
        watching.message("admit", "warning: span-\x1b[31mred\a is far")
        watching.ended("admit", "ran", "span-\x1b[31mred\a is new", 0.1)
    said = to.file.getvalue()
    assert "span-[31mred" in said
    assert "\x1b[31m" not in said
    assert "\a" not in said
