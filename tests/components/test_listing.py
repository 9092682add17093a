"""The files of a folder, by their paths relative to a folder above it."""

from pathlib import Path

import pytest

from components.sources.listing import names_below


@pytest.mark.parametrize("root", [".", "photos", "photos/../photos", "{here}/photos"])
def test_names_are_relative_to_the_root_however_it_is_written(root, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    for name in ("cat/b.jpg", "cat/a/2.jpg", "cat/.hidden", "dog/1.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    monkeypatch.chdir(folder if root == "." else tmp_path)
    root = Path(root.format(here=tmp_path))
    assert list(names_below(root / "cat", root)) == ["cat/a/2.jpg", "cat/b.jpg"]
