"""Broken inputs in tests/bad, one fault per file; the first comment of each is the expected error message."""

from pathlib import Path

import pytest

BAD = Path(__file__).parents[1] / "bad"


def cases(folder: str, pattern: str) -> list[object]:
    """A pytest parameter for each file."""
    paths = sorted((BAD / folder).glob(pattern))
    assert paths, f"no {pattern} in {BAD / folder}"
    return [pytest.param(path, id=path.stem) for path in paths]


def expected(path: Path) -> str:
    """The first comment of a file: the complete message, line by line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)
