"""Errors of places that cannot be used."""

import errno
import os
from pathlib import Path

import pytest

from schemas import places
from schemas.errors import EnvironmentFailure


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_an_error_with_a_remedy() -> None:
    with pytest.raises(EnvironmentFailure) as error, places.explained(Path("/dev/full"), "stage train cannot write to"):
        Path("/dev/full").write_text("x", encoding="utf-8")
    assert str(error.value) == (
        "environment: stage train cannot write to /dev/full: no space left on its disk\n"
        "  Free some space and run again; finished stages are reused."
    )
    assert (error.value.exit_code, error.value.retryable) == (75, True)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "Name another with --root or --serving-dir, or fix its permissions."),
        (errno.EROFS, "Name another with --root or --serving-dir, or fix its permissions."),
        (errno.ENOTDIR, "Name another with --root or --serving-dir."),
    ],
)
def test_an_unusable_directory_is_an_error_with_a_remedy(number: int, remedy: str) -> None:
    error = places.explain(OSError(number, os.strerror(number)), Path("/there"), "cannot use ROOT")
    assert str(error) == f"store: cannot use ROOT /there: {os.strerror(number)}\n  {remedy}"
    assert error.exit_code == 2
