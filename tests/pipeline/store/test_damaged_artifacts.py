"""Files of an artifact that are missing, cut short, altered or replaced by a link."""

from pathlib import Path

import pytest

from pipeline.lineage import now
from pipeline.store import Store
from schemas.artifacts import Statistics
from schemas.errors import DataError, StoreError
from tests.pipeline.store.committed import RECIPE, put


def test_an_artifact_with_a_missing_file_is_refused(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={}), one="1", two="2").path
    (path / "two").unlink()
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Statistics)
    assert str(error.value) == f"data: artifact {path}: two is missing\n  Run again with --force stage."


def test_an_artifact_with_a_truncated_file_is_refused(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={}), one="x" * 2000).path
    (path / "one").write_text("x" * 1000, encoding="utf-8")
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Statistics)
    assert error.value.cause == f"artifact {path}: one has 1,000 bytes, its manifest states 2,000"
    assert error.value.exit_code == 4


def test_a_symbolic_link_is_not_committed(store: Store) -> None:
    with (
        pytest.raises(StoreError, match="link is a symbolic link; artifacts hold plain files only"),
        store.staging("stage", "key") as out,
    ):
        (out / "link").symlink_to("/etc/hostname")
        store.commit(Statistics(out, counts={}), "stage", "key", RECIPE, now())
    assert store.find("stage", "key", Statistics) is None


def test_check_detects_a_flipped_bit(store: Store) -> None:
    artifact = put(store, Statistics(Path(), counts={}), one="content")
    store.check("stage", artifact)
    (artifact.path / "one").write_text("Content", encoding="utf-8")
    assert store.find("stage", "key", Statistics) == artifact  # compares sizes only, so that planning is cheap
    with pytest.raises(DataError) as error:
        store.check("stage", artifact)
    assert str(error.value) == (
        f"data: artifact {artifact.path}: one was altered: its SHA-256 differs from the manifest's\n"
        "  Run again with --force stage."
    )


def test_an_artifact_behind_a_symbolic_link_is_refused(store: Store, tmp_path: Path) -> None:
    artifact = put(store, Statistics(Path(), counts={}), one="1")
    artifact.path.rename(tmp_path / "elsewhere")
    artifact.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Statistics)
    assert str(error.value) == f"data: artifact {artifact.path} is a symbolic link\n  Remove it and run again."


def test_a_file_that_became_a_symbolic_link_is_refused(store: Store, tmp_path: Path) -> None:
    artifact = put(store, Statistics(Path(), counts={}), one="1")
    (artifact.path / "one").rename(tmp_path / "one")
    (artifact.path / "one").symlink_to(tmp_path / "one")
    with pytest.raises(DataError, match="one is a symbolic link, or is behind one"):
        store.find("stage", "key", Statistics)
