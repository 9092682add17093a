"""Which versions retention removes: never one that is still needed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.serving import ModelDirectory
from pipeline.serving.retention import removable
from schemas.errors import ConfigurationError, StoreError
from tests.pipeline.published import model, publish

NUMBERS = st.sets(st.integers(1, 60))


@given(NUMBERS, st.integers(0, 70), NUMBERS)
def test_only_old_unprotected_versions_are_removed(numbers: set[int], keep: int, protected: set[int]) -> None:
    removed = removable(numbers, keep=keep, protected=protected)
    kept = numbers - set(removed)
    assert removed == sorted(set(removed))
    assert set(removed) <= numbers
    assert not set(removed) & protected
    assert set(sorted(numbers)[-2:]) <= kept, "the served version and the one before it"
    assert len(kept) >= min(len(numbers), keep)
    assert all(number < min(sorted(numbers)[-max(keep, 2) :]) for number in removed)


@given(NUMBERS, st.integers(2, 70), NUMBERS)
def test_removing_twice_removes_nothing_more(numbers: set[int], keep: int, protected: set[int]) -> None:
    kept = numbers - set(removable(numbers, keep=keep, protected=protected))
    assert removable(kept, keep=keep, protected=protected) == []


@given(NUMBERS, st.integers(2, 70), NUMBERS)
def test_keeping_more_versions_never_removes_more(numbers: set[int], keep: int, protected: set[int]) -> None:
    assert set(removable(numbers, keep=keep + 1, protected=protected)) <= set(
        removable(numbers, keep=keep, protected=protected)
    )


@pytest.fixture
def model_directory(tmp_path: Path) -> ModelDirectory:
    """Six versions; the second has the highest accuracy on the same test images as the last."""
    directory = ModelDirectory(tmp_path / "serving", "mnist")
    for number, accuracy in enumerate((0.99, 0.95, 0.91, 0.92, 0.93, 0.94), 1):
        publish(directory, model(tmp_path, f"m{number}"), accuracy=accuracy, test="older" if number == 1 else "t")
    return directory


def version_numbers(model_directory: ModelDirectory) -> list[int]:
    return [version.number for version in model_directory.versions()]


def test_the_newest_and_the_best_versions_are_kept(model_directory: ModelDirectory) -> None:
    assert [v.number for v in model_directory.removable(3)] == [1, 3]
    assert version_numbers(model_directory) == [1, 2, 3, 4, 5, 6]
    assert [v.number for v in model_directory.apply_retention(3)] == [1, 3]
    assert version_numbers(model_directory) == [2, 4, 5, 6]
    assert [record.version for record in model_directory.history()] == [1, 2, 3, 4, 5, 6]
    assert model_directory.apply_retention(3) == []


def test_a_pinned_version_is_kept_until_it_is_unpinned(model_directory: ModelDirectory) -> None:
    model_directory.pin(1)
    model_directory.apply_retention(2)
    assert version_numbers(model_directory) == [1, 2, 5, 6]
    model_directory.pin(1, pinned=False)
    model_directory.apply_retention(2)
    assert version_numbers(model_directory) == [2, 5, 6]


def test_the_target_of_a_rollback_is_kept(model_directory: ModelDirectory) -> None:
    model_directory.rollback()
    model_directory.rollback(to=6)
    model_directory.rollback()
    model_directory.rollback()
    assert [(v.number, v.digest) for v in model_directory.versions()][-4:] == [
        (7, "m5"),
        (8, "m6"),
        (9, "m5"),
        (10, "m4"),
    ]
    model_directory.apply_retention(2)
    assert version_numbers(model_directory) == [2, 3, 9, 10]
    assert model_directory.rollback().digest == "m3"


def test_a_missing_version_cannot_be_pinned(model_directory: ModelDirectory) -> None:
    with pytest.raises(ConfigurationError) as error:
        model_directory.pin(9)
    assert error.value.cause == f"there is no version 9 of mnist in {model_directory.root}"
    assert error.value.remedy == "Its versions are 1, 2, 3, 4, 5, 6."
    assert model_directory.pinned() == set()


@pytest.mark.parametrize("content", ["", "{}", '["1"]', "[1.5]", "[true]"])
def test_a_damaged_list_of_pins_removes_nothing(model_directory: ModelDirectory, content: str) -> None:
    (model_directory.path / ".pinned.json").write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match=r"\.pinned\.json is not a list of versions"):
        model_directory.apply_retention(2)
    assert version_numbers(model_directory) == [1, 2, 3, 4, 5, 6]
