"""The errors a user may see."""

import pickle

import pytest

from schemas import errors
from schemas.errors import (
    ConfigurationError,
    DataError,
    GatelineError,
    Locked,
    Refused,
    StoreError,
    Waiting,
    WiringError,
)


@pytest.mark.parametrize(
    ("kind", "word", "exit_code"),
    [
        (GatelineError, "error", 1),
        (ConfigurationError, "configuration", 2),
        (WiringError, "wiring", 2),
        (StoreError, "store", 2),
        (Refused, "refused", 3),
        (DataError, "data", 4),
        (Locked, "locked", 5),
        (Waiting, "waiting", 0),
    ],
)
def test_each_kind_has_its_word_and_its_exit_code(kind: type[GatelineError], word: str, exit_code: int) -> None:
    error = kind("it broke", "Mend it.")
    assert str(error) == f"{word}: it broke\n  Mend it."
    assert error.exit_code == exit_code
    assert issubclass(kind, GatelineError)


def test_no_kind_is_left_out_above() -> None:
    kinds = {
        kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatelineError)
    }
    assert kinds == {
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


def test_an_error_without_a_remedy_is_one_line() -> None:
    assert str(DataError("it broke")) == "data: it broke"


def test_an_error_comes_back_whole_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(Refused("too low", "Train longer.")))
    assert isinstance(error, Refused)
    assert (error.cause, error.remedy) == ("too low", "Train longer.")


def test_what_is_long_is_shortened_and_the_remedy_stays() -> None:
    error = Refused("\n         ".join(f"accuracy on label={n} is too low" for n in range(100)), "Train longer.")
    said = error.shortened(2000).split("\n")
    assert said[0] == "refused: accuracy on label=0 is too low"
    assert said[-1] == "  Train longer."
    assert said[-2] == f"         and {100 - (len(said) - 2)} more"
    assert 1800 < len(error.shortened(2000)) < 2050
    assert Refused("too low", "Train longer.").shortened(2000) == "refused: too low\n  Train longer."
    assert Refused("x" * 3000, "Train longer.").shortened(100) == f"refused: {'x' * 80}…\n  Train longer."
