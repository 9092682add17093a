"""Progress of a run: a live table on a terminal, lines elsewhere."""

import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.lineage.states import StageState
from schemas.text import printable

MARKS = {
    StageState.RAN: ("done", "green"),
    StageState.REUSED: ("reused", "cyan"),
    StageState.FAILED: ("failed", "red"),
}


@dataclass
class Lines:
    """Prints a line for each event, for logs and programs."""

    console: Console

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: Any) -> None: ...

    def started(self, stage: str) -> None:
        self._print(f"{stage:<14} ...")

    def message(self, stage: str, text: str) -> None:
        self._print(f"{stage:<14} {text}")

    def ended(self, stage: str, state: StageState, why: str, seconds: float) -> None:
        self._print(f"{stage:<14} {MARKS[state][0]:<7} {seconds:6.1f} s  ({why})")

    def _print(self, text: str) -> None:
        self.console.print(Text(printable(text)), soft_wrap=True)


@dataclass
class Row:
    state: StageState | None = None  # None: not ended
    text: str = ""
    why: str = ""
    started: float | None = None  # monotonic clock
    seconds: float = 0.0


@dataclass
class Board:
    """Shows a live table of the stages, with warnings above it."""

    console: Console
    stages: list[str]
    rows: dict[str, Row] = field(default_factory=dict)

    def __enter__(self) -> "Board":
        self.rows = {stage: Row() for stage in self.stages}
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._render, console=self.console, refresh_per_second=8)
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def started(self, stage: str) -> None:
        self.rows[stage] = Row(started=time.monotonic())

    def message(self, stage: str, text: str) -> None:
        if text.startswith("warning: "):
            self.console.print(Text(printable(f"{stage}: {text}"), style="yellow"))
        else:
            self.rows[stage].text = printable(text)

    def ended(self, stage: str, state: StageState, why: str, seconds: float) -> None:
        row = self.rows[stage]
        row.state, row.why, row.seconds = state, printable(why), seconds

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False, show_header=False)
        for column in (
            {"min_width": 14},
            {"min_width": 8},
            {"justify": "right", "min_width": 8},
            {"overflow": "ellipsis", "no_wrap": True},
        ):
            table.add_column(**column)  # type: ignore[arg-type]
        for stage, row in self.rows.items():
            if row.state is not None:
                mark, colour = MARKS[row.state]
                detail = Text.assemble(row.text, "  " if row.text else "", (row.why, "dim"))
                table.add_row(stage, Text(mark, colour), f"{row.seconds:.1f} s", detail)
            elif row.started is None:
                table.add_row(Text(stage, "dim"), "", "", "")
            else:
                seconds = f"{time.monotonic() - row.started:.1f} s"
                table.add_row(Text(stage, "bold"), self._spinner, seconds, Text(row.text))
        return Group(table)


def watch(console: Console, stages: list[str]) -> Lines | Board:
    return Board(console, stages) if console.is_terminal else Lines(console)
