"""Broken inputs of tests/bad, one fault a file; the first comment says the words they are refused with."""

from pathlib import Path

import pytest

BAD = Path(__file__).parents[1] / "bad"


def cases(folder: str, pattern: str) -> list[object]:
    """A pytest parameter for each file."""
    found = sorted((BAD / folder).glob(pattern))
    assert found, f"no {pattern} in {BAD / folder}"
    return [pytest.param(path, id=path.stem) for path in found]


def expected(path: Path) -> str:
    """The comment that a file begins with: the whole message, line for line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)
