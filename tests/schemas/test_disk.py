"""Atomic writes and commits of files."""

from pathlib import Path

import pytest

from schemas import disk


def test_a_failed_json_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    disk.write_json(path, {"b": 1, "a": 2})
    with pytest.raises(TypeError):
        disk.write_json(path, {"c": object()})
    assert path.read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": 2\n}\n'


@pytest.mark.parametrize("sync", [False, True])
def test_an_interrupted_write_keeps_the_old_file_and_leaves_no_temporary_file(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "facts.txt"
    disk.atomic_write_text(path, "old", sync=sync)
    with pytest.raises(KeyboardInterrupt), disk.atomic_write(path, sync=sync) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["facts.txt"]
    assert path.read_text(encoding="utf-8") == "old"


def test_concurrent_writers_use_different_temporary_files(tmp_path: Path) -> None:
    path = tmp_path / "facts.txt"
    with disk.atomic_write(path) as first, disk.atomic_write(path) as second:
        first.write_text("first", encoding="utf-8")
        second.write_text("second", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "first"  # the outer file is renamed last
    assert [p.name for p in tmp_path.iterdir()] == ["facts.txt"]


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    disk.atomic_write_text(tmp_path / "name", "Größe")
    assert (tmp_path / "name").read_bytes() == "Größe".encode()


def test_a_commit_is_all_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "staged").mkdir()
    (tmp_path / "staged" / "file").touch()
    disk.commit(tmp_path / "staged", tmp_path / "deep" / "final")
    assert [p.name for p in (tmp_path / "deep" / "final").iterdir()] == ["file"]
    assert not (tmp_path / "staged").exists()
