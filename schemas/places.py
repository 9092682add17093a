"""Places that cannot be written to or loaded from: the operating system's errors with their cause and remedy."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import ConfigurationError, EnvironmentFailure, GatelineError, StoreError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def explained(place: Path, action: str) -> Iterator[None]:
    """Errors of the operating system become one line of cause and one of remedy.

    Raises:
        StoreError: not allowed, read-only, or not a directory.
        EnvironmentFailure: the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise explain(error, place, action) from error


@contextlib.contextmanager
def full_disk_explained(place: Path, action: str) -> Iterator[None]:
    """The same for errors of other libraries that concern writing below `place`. Other errors are not changed.

    Raises:
        EnvironmentFailure: the disk is full.
        StoreError: it is read-only, or permission is lacking.
    """
    try:
        yield
    except GatelineError:
        raise
    except OSError as error:
        below = error.filename is None or Path(str(error.filename)).is_relative_to(place)
        if below and error.errno in (*FULL, *FORBIDDEN):
            raise explain(error, place, action) from error
        raise
    except Exception as error:
        if any(os.strerror(code) in str(error) for code in FULL):  # TensorFlow and Arrow have errors of their own
            raise explain(OSError(FULL[0], os.strerror(FULL[0])), place, action) from error
        raise


def explain(error: OSError, place: Path, action: str) -> GatelineError:
    """The same, for an error already caught."""
    # `shutil.copytree` raises a list of messages without error numbers.
    if error.errno in FULL or (error.errno is None and any(os.strerror(code) in str(error) for code in FULL)):
        return EnvironmentFailure(
            f"{action} {place}: no space left on its disk", "Free some space and run again; finished stages are reused."
        )
    if error.errno in FORBIDDEN:
        return StoreError(
            f"{action} {place}: {error.strerror}", "Name another with --root or --serving-dir, or fix its permissions."
        )
    return StoreError(f"{action} {place}: {error.strerror or error}", "Name another with --root or --serving-dir.")


def check_loadable(path: Path, option: str) -> None:
    """TensorFlow finds the weights of a model by a glob, so these characters in a path break loading.

    Raises:
        ConfigurationError: the absolute path contains [, ] or a backslash.
    """
    if characters := [character for character in "[]\\" if character in str(path.absolute())]:
        cause = f"{path.absolute()} contains {' and '.join(characters)}: TensorFlow cannot load a model from there"
        raise ConfigurationError(cause, f"Name another directory with {option}.")
