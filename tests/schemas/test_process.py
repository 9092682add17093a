"""Changes of the whole process, shared by threads."""

import contextlib
import io
import sys

import pytest

from schemas.process import SharedContext


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_last_of_overlapping_blocks_undoes_the_change(order: tuple[int, int]) -> None:
    before, changed = sys.stdout, io.StringIO()
    shared = SharedContext(lambda: contextlib.redirect_stdout(changed))
    blocks = [contextlib.ExitStack() for _ in range(2)]
    for number, block in enumerate(blocks):
        block.enter_context(shared)
        print("begin", number)
    blocks[order[0]].close()
    print("one left")
    blocks[order[1]].close()
    assert sys.stdout is before
    assert changed.getvalue() == "begin 0\nbegin 1\none left\n"


def test_a_change_is_undone_after_an_error_and_can_be_made_again() -> None:
    before, changed = sys.stdout, io.StringIO()
    shared = SharedContext(lambda: contextlib.redirect_stdout(changed))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), shared:
            print(1 / 0)
        assert sys.stdout is before
