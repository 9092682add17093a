"""Whether a serving directory can be written to."""

from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory, writable
from schemas.errors import StoreError
from tests.pipeline.published import model, publish


def test_a_serving_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "serving"
    for use in (lambda: writable(root), lambda: publish(ModelDirectory(root, "mnist"), model(tmp_path, "one"))):
        with pytest.raises(StoreError) as error:
            use()
        assert str(error.value) == (
            f"store: cannot write to the serving directory {root}: Not a directory\n"
            "  Name another with --root or --serving-dir."
        )


def test_the_check_for_write_access_leaves_no_file(tmp_path: Path) -> None:
    writable(tmp_path / "deep" / "serving")
    assert list((tmp_path / "deep" / "serving").iterdir()) == []
