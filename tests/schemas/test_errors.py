"""The errors that users see."""

import errno
import pickle
import socket
import urllib.error

import pytest

from schemas import errors
from schemas.errors import (
    ConfigurationError,
    DataError,
    EnvironmentFailure,
    GatelineError,
    Locked,
    Refused,
    StoreError,
    Waiting,
    WiringError,
    is_transient,
    last_line,
)


@pytest.mark.parametrize(
    ("kind", "prefix", "exit_code"),
    [
        (GatelineError, "error", 1),
        (ConfigurationError, "configuration", 2),
        (WiringError, "wiring", 2),
        (StoreError, "store", 2),
        (Refused, "refused", 3),
        (DataError, "data", 4),
        (Locked, "locked", 5),
        (EnvironmentFailure, "environment", 75),
        (Waiting, "waiting", 0),
    ],
)
def test_each_error_has_its_prefix_and_exit_code(kind: type[GatelineError], prefix: str, exit_code: int) -> None:
    error = kind("it broke", "Fix it.")
    assert str(error) == f"{prefix}: it broke\n  Fix it."
    assert error.exit_code == exit_code
    assert issubclass(kind, GatelineError)


def test_the_list_of_errors_is_complete() -> None:
    kinds = {
        kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatelineError)
    }
    assert kinds == {
        "EnvironmentFailure",
        "GatelineError",
        "ConfigurationError",
        "WiringError",
        "StoreError",
        "Refused",
        "DataError",
        "Locked",
        "Interrupted",
        "Waiting",
    }


def test_an_error_without_a_remedy_has_one_line() -> None:
    assert str(DataError("it broke")) == "data: it broke"


def test_an_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(Refused("too low", "Train longer.")))
    assert isinstance(error, Refused)
    assert (error.cause, error.remedy) == ("too low", "Train longer.")


def test_a_long_error_is_shortened_but_keeps_its_remedy() -> None:
    error = Refused("\n         ".join(f"accuracy on label={n} is too low" for n in range(100)), "Train longer.")
    lines = error.shortened(2000).split("\n")
    assert lines[0] == "refused: accuracy on label=0 is too low"
    assert lines[-1] == "  Train longer."
    assert lines[-2] == f"         and {100 - (len(lines) - 2)} more"
    assert 1800 < len(error.shortened(2000)) < 2050
    assert Refused("too low", "Train longer.").shortened(2000) == "refused: too low\n  Train longer."
    assert Refused("x" * 3000, "Train longer.").shortened(100) == f"refused: {'x' * 80}…\n  Train longer."


class MaxRetryError(Exception):
    """Has the same name as urllib3's error."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ESTALE, "Stale file handle"),
        OSError(errno.EMFILE, "Too many open files"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        socket.gaierror(-3, "Temporary failure in name resolution"),
        urllib.error.URLError("no network"),
        TimeoutError("timed out"),
        MemoryError(),
        MaxRetryError("no network"),
        Locked("another run holds the lock"),
    ],
)
def test_environment_failures_are_transient(error):
    assert is_transient(error)
    wrapped = ValueError("a library's own error")
    wrapped.__cause__ = error
    assert is_transient(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        PermissionError(errno.EACCES, "Permission denied"),
        ZeroDivisionError("a defect"),
        DataError("torn"),
        ConfigurationError("wrong"),
    ],
)
def test_errors_of_data_configuration_and_code_are_not_transient(error):
    assert not is_transient(error)


def test_tensorflow_errors_are_transient_by_their_class():
    import tensorflow as tf

    assert is_transient(tf.errors.UnavailableError(None, None, "no server"))
    assert not is_transient(tf.errors.InvalidArgumentError(None, None, "wrong shape"))


def test_last_line_returns_the_cause_of_an_error():
    assert last_line(ValueError("Failed to encode example:\n{'image': 1}\n\nlabel 12 is out of range\n")) == (
        "label 12 is out of range"
    )
    assert last_line(KeyError()) == "KeyError"
