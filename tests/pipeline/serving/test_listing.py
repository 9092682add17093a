"""Models in a serving directory: found by name, listed, verified."""

from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory, listing
from schemas.errors import ConfigurationError
from tests.pipeline.published import model, publish


def test_models_are_found_by_name(tmp_path: Path) -> None:
    serving = tmp_path / "serving"
    assert listing.model_directories(serving, None) == []
    with pytest.raises(ConfigurationError, match=rf"^configuration: nothing was pushed to {serving} yet\n"):
        listing.model_directory(serving, None)
    publish(ModelDirectory(serving, "mnist"), model(tmp_path, "one"))
    assert listing.model_directory(serving, None).model == "mnist"
    publish(ModelDirectory(serving, "fashion"), model(tmp_path, "two"))
    assert [each.model for each in listing.model_directories(serving, None)] == ["fashion", "mnist"]
    assert listing.model_directory(serving, "mnist").model == "mnist"
    with pytest.raises(ConfigurationError) as error:
        listing.model_directory(serving, "shoes")
    assert (error.value.cause, error.value.remedy) == (
        f"{serving} serves no model shoes",
        "It serves fashion, mnist.",
    )


def test_rows_state_what_is_served_pinned_and_rolled_back(tmp_path: Path) -> None:
    directory = ModelDirectory(tmp_path / "serving", "mnist")
    for name in ("one", "two"):
        publish(directory, model(tmp_path, name))
    directory.pin(1)
    directory.rollback(reason="slow")
    assert [(row["version"], row["state"]) for row in listing.rows(directory)] == [
        (3, ["served", "rollback to version 1 from 2: slow"]),
        (2, ["rolled back"]),
        (1, ["pinned"]),
    ]


def test_verify_names_each_altered_file(tmp_path: Path) -> None:
    directory = ModelDirectory(tmp_path / "serving", "mnist")
    publish(directory, model(tmp_path, "one"))
    publish(directory, model(tmp_path, "two"))
    (directory.path / "1" / "extra").write_text("x", encoding="utf-8")
    assert listing.verify([directory], None, None) == {"mnist/1": ["extra was added"], "mnist/2": []}
    assert listing.verify([directory], 2, None) == {"mnist/2": []}
