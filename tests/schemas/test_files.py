"""Files that are whole or absent."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import files
from schemas.errors import GatelineError, StoreError

names = st.text("abc", min_size=1, max_size=3)
trees = st.dictionaries(st.tuples(names, names), st.binary(max_size=20), max_size=4)


def written(tree: dict[tuple[str, str], bytes], directory: Path) -> Path:
    for (folder, name), content in tree.items():
        (directory / folder).mkdir(exist_ok=True, parents=True)
        (directory / folder / name).write_bytes(content)
    return directory


def digest(directory: Path) -> str:
    return files.digest(files.listing(directory))


@given(trees, trees)
@settings(max_examples=20, deadline=None)
def test_digests_are_equal_exactly_where_names_and_contents_are(one: dict, other: dict) -> None:
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        same = digest(written(one, Path(here))) == digest(written(other, Path(there)))
        assert same == (one == other)


@given(trees.filter(bool), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_one_flipped_bit_changes_the_digest_and_is_found(tree: dict, random: object) -> None:
    with tempfile.TemporaryDirectory() as here:
        before = files.listing(written(tree, Path(here)))
        victim = Path(here) / random.choice(sorted(before))
        content = bytearray(victim.read_bytes() or b"\0")
        grown = len(content) - victim.stat().st_size
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        victim.write_bytes(content)
        assert files.digest(files.listing(Path(here))) != files.digest(before)
        assert len(files.differences(Path(here), before, contents=True)) == 1
        assert len(files.differences(Path(here), before, contents=False)) == grown


def test_a_listing_holds_size_and_sha256_of_every_file_but_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "manifest.json").write_text("abc", encoding="utf-8")
    (tmp_path / "manifest.json").write_text("not listed", encoding="utf-8")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.listing(tmp_path, sync=True) == {"deep/manifest.json": {"size": 3, "sha256": sha256}}


@pytest.mark.parametrize("target", ["a file", "absent"])
def test_a_symbolic_link_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "link").symlink_to(tmp_path / target)
    with pytest.raises(StoreError) as error:
        files.listing(tmp_path)
    assert str(error.value) == (
        f"store: {tmp_path}/link is a symbolic link; artifacts hold plain files only\n  Remove it and run again."
    )


def test_differences_are_told_in_words(tmp_path: Path) -> None:
    for name in ("gone", "cut", "altered", "whole"):
        (tmp_path / name).write_text("x" * 1234, encoding="utf-8")
    listed = files.listing(tmp_path)
    (tmp_path / "gone").unlink()
    (tmp_path / "cut").write_text("x", encoding="utf-8")
    (tmp_path / "altered").write_text("y" * 1234, encoding="utf-8")
    cut, gone = "cut has 1 bytes, its manifest states 1,234", "gone is missing"
    assert files.differences(tmp_path, listed, contents=False) == [cut, gone]
    assert files.differences(tmp_path, listed, contents=True) == [
        "altered was altered: its SHA-256 differs from the manifest's",
        cut,
        gone,
    ]


def test_a_json_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    files.write_json(path, {"b": 1, "a": 2})
    with pytest.raises(TypeError):
        files.write_json(path, {"c": object()})
    assert path.read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": 2\n}\n'


@pytest.mark.parametrize("sync", [False, True])
def test_an_interrupted_write_leaves_the_old_file_and_no_temporary_one(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "facts.txt"
    files.atomic_write_text(path, "old", sync=sync)
    with pytest.raises(KeyboardInterrupt), files.atomic_write(path, sync=sync) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["facts.txt"]
    assert path.read_text(encoding="utf-8") == "old"


def test_concurrent_writers_of_one_file_do_not_share_a_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "facts.txt"
    with files.atomic_write(path) as first, files.atomic_write(path) as second:
        first.write_text("first", encoding="utf-8")
        second.write_text("second", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "first"  # the outer one is renamed last
    assert [p.name for p in tmp_path.iterdir()] == ["facts.txt"]


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    files.atomic_write_text(tmp_path / "name", "Größe")
    assert (tmp_path / "name").read_bytes() == "Größe".encode()


def test_a_commit_is_all_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "staged").mkdir()
    (tmp_path / "staged" / "file").touch()
    files.commit(tmp_path / "staged", tmp_path / "deep" / "final")
    assert [p.name for p in (tmp_path / "deep" / "final").iterdir()] == ["file"]
    assert not (tmp_path / "staged").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_explained() -> None:
    with pytest.raises(GatelineError) as error, files.explained(Path("/dev/full"), "stage train cannot write to"):
        Path("/dev/full").write_text("x", encoding="utf-8")
    assert str(error.value) == (
        "error: stage train cannot write to /dev/full: no space left on its disk\n"
        "  Free some space and run again; finished stages are reused."
    )
    assert error.value.exit_code == 1


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "Name another with --root or --serving-dir, or fix its permissions."),
        (errno.EROFS, "Name another with --root or --serving-dir, or fix its permissions."),
        (errno.ENOTDIR, "Name another with --root or --serving-dir."),
    ],
)
def test_a_directory_that_cannot_be_used_is_explained(number: int, remedy: str) -> None:
    found = files.explain(OSError(number, os.strerror(number)), Path("/there"), "cannot use ROOT")
    assert str(found) == f"store: cannot use ROOT /there: {os.strerror(number)}\n  {remedy}"
    assert found.exit_code == 2
