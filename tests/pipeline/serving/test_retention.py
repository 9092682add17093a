"""Which versions go when only so many are kept: never what somebody still needs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.serving import ModelDirectory
from pipeline.serving.retention import removable
from schemas.errors import ConfigurationError, StoreError
from tests.pipeline.shelves import model, publish

NUMBERS = st.sets(st.integers(1, 60))


@given(NUMBERS, st.integers(0, 70), NUMBERS)
def test_what_goes_is_old_and_dear_to_nobody(numbers: set[int], keep: int, precious: set[int]) -> None:
    gone = removable(numbers, keep=keep, protected=precious)
    stay = numbers - set(gone)
    assert gone == sorted(set(gone))
    assert set(gone) <= numbers
    assert not set(gone) & precious
    assert set(sorted(numbers)[-2:]) <= stay, "what is served, and the one below it"
    assert len(stay) >= min(len(numbers), keep)
    assert all(number < min(sorted(numbers)[-max(keep, 2) :]) for number in gone)


@given(NUMBERS, st.integers(2, 70), NUMBERS)
def test_to_remove_again_removes_nothing(numbers: set[int], keep: int, precious: set[int]) -> None:
    stay = numbers - set(removable(numbers, keep=keep, protected=precious))
    assert removable(stay, keep=keep, protected=precious) == []


@given(NUMBERS, st.integers(2, 70), NUMBERS)
def test_to_keep_more_never_removes_more(numbers: set[int], keep: int, precious: set[int]) -> None:
    assert set(removable(numbers, keep=keep + 1, protected=precious)) <= set(
        removable(numbers, keep=keep, protected=precious)
    )


@pytest.fixture
def shelf(tmp_path: Path) -> ModelDirectory:
    """Six versions; the second is the most accurate on the images of the last."""
    found = ModelDirectory(tmp_path / "serving", "mnist")
    for number, accuracy in enumerate((0.99, 0.95, 0.91, 0.92, 0.93, 0.94), 1):
        publish(found, model(tmp_path, f"m{number}"), accuracy=accuracy, test="older" if number == 1 else "t")
    return found


def standing(shelf: ModelDirectory) -> list[int]:
    return [version.number for version in shelf.versions()]


def test_the_newest_and_the_best_ever_served_stay(shelf: ModelDirectory) -> None:
    assert [v.number for v in shelf.removable(3)] == [1, 3]
    assert standing(shelf) == [1, 2, 3, 4, 5, 6]
    assert [v.number for v in shelf.apply_retention(3)] == [1, 3]
    assert standing(shelf) == [2, 4, 5, 6]
    assert [record.version for record in shelf.history()] == [1, 2, 3, 4, 5, 6]
    assert shelf.apply_retention(3) == []


def test_a_pinned_version_stays_until_it_is_unpinned(shelf: ModelDirectory) -> None:
    shelf.pin(1)
    shelf.apply_retention(2)
    assert standing(shelf) == [1, 2, 5, 6]
    shelf.pin(1, stays=False)
    shelf.apply_retention(2)
    assert standing(shelf) == [2, 5, 6]


def test_the_version_that_a_rollback_goes_to_stays(shelf: ModelDirectory) -> None:
    shelf.rollback()
    shelf.rollback(to=6)
    shelf.rollback()
    shelf.rollback()
    assert [(v.number, v.digest) for v in shelf.versions()][-4:] == [(7, "m5"), (8, "m6"), (9, "m5"), (10, "m4")]
    shelf.apply_retention(2)
    assert standing(shelf) == [2, 3, 9, 10]
    assert shelf.rollback().digest == "m3"


def test_a_version_that_does_not_stand_cannot_be_pinned(shelf: ModelDirectory) -> None:
    with pytest.raises(ConfigurationError) as error:
        shelf.pin(9)
    assert error.value.cause == f"there is no version 9 of mnist in {shelf.root}"
    assert error.value.remedy == "Its versions are 1, 2, 3, 4, 5, 6."
    assert shelf.pinned() == set()


@pytest.mark.parametrize("content", ["", "{}", '["1"]', "[1.5]", "[true]"])
def test_a_damaged_list_of_pins_removes_nothing(shelf: ModelDirectory, content: str) -> None:
    (shelf.path / ".pinned.json").write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match=r"\.pinned\.json is not a list of versions"):
        shelf.apply_retention(2)
    assert standing(shelf) == [1, 2, 3, 4, 5, 6]
