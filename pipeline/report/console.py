"""Text and tables in the terminal, without control characters."""

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from schemas.text import printable


def new_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


class _Console(Console):
    """Removes control characters from texts, so that a name cannot control the terminal."""

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def echo(*renderables: Any) -> None:
    """Prints to the terminal."""
    # A pipe has no width, and wrapping would split paths.
    console = _Console(highlight=False)
    if not console.is_terminal:
        console = _Console(highlight=False, width=200)
    for each in renderables:
        console.print(each, soft_wrap=isinstance(each, Text | str), markup=False)
