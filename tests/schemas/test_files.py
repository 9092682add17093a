"""Listings, digests and atomic writes of files."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import files
from schemas.errors import EnvironmentFailure, StoreError

names = st.text("abc", min_size=1, max_size=3)
trees = st.dictionaries(st.tuples(names, names), st.binary(max_size=20), max_size=4)


def write_tree(tree: dict[tuple[str, str], bytes], directory: Path) -> Path:
    for (folder, name), content in tree.items():
        (directory / folder).mkdir(exist_ok=True, parents=True)
        (directory / folder / name).write_bytes(content)
    return directory


def digest(directory: Path) -> str:
    return files.digest(files.listing(directory))


@given(trees, trees)
@settings(max_examples=20, deadline=None)
def test_digests_are_equal_only_for_equal_names_and_contents(one: dict, other: dict) -> None:
    with tempfile.TemporaryDirectory() as one_folder, tempfile.TemporaryDirectory() as other_folder:
        same = digest(write_tree(one, Path(one_folder))) == digest(write_tree(other, Path(other_folder)))
        assert same == (one == other)


@given(trees.filter(bool), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_a_flipped_bit_changes_the_digest_and_is_a_difference(tree: dict, random: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        before = files.listing(write_tree(tree, Path(folder)))
        path = Path(folder) / random.choice(sorted(before))
        content = bytearray(path.read_bytes() or b"\0")
        added_bytes = len(content) - path.stat().st_size
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(content)
        assert files.digest(files.listing(Path(folder))) != files.digest(before)
        assert len(files.differences(Path(folder), before, contents=True)) == 1
        assert len(files.differences(Path(folder), before, contents=False)) == added_bytes


def test_a_listing_has_size_and_sha256_of_every_file_except_the_manifest(tmp_path: Path) -> None:
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


def test_differences_are_described(tmp_path: Path) -> None:
    for name in ("gone", "cut", "altered", "whole"):
        (tmp_path / name).write_text("x" * 1234, encoding="utf-8")
    listed = files.listing(tmp_path)
    (tmp_path / "gone").unlink()
    (tmp_path / "cut").write_text("x", encoding="utf-8")
    (tmp_path / "altered").write_text("y" * 1234, encoding="utf-8")
    cut, missing = "cut has 1 bytes, its manifest states 1,234", "gone is missing"
    assert files.differences(tmp_path, listed, contents=False) == [cut, missing]
    assert files.differences(tmp_path, listed, contents=True) == [
        "altered was altered: its SHA-256 differs from the manifest's",
        cut,
        missing,
    ]


def test_a_failed_json_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    files.write_json(path, {"b": 1, "a": 2})
    with pytest.raises(TypeError):
        files.write_json(path, {"c": object()})
    assert path.read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": 2\n}\n'


@pytest.mark.parametrize("sync", [False, True])
def test_an_interrupted_write_keeps_the_old_file_and_leaves_no_temporary_file(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "facts.txt"
    files.atomic_write_text(path, "old", sync=sync)
    with pytest.raises(KeyboardInterrupt), files.atomic_write(path, sync=sync) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["facts.txt"]
    assert path.read_text(encoding="utf-8") == "old"


def test_concurrent_writers_use_different_temporary_files(tmp_path: Path) -> None:
    path = tmp_path / "facts.txt"
    with files.atomic_write(path) as first, files.atomic_write(path) as second:
        first.write_text("first", encoding="utf-8")
        second.write_text("second", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "first"  # the outer file is renamed last
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
def test_a_full_disk_is_an_error_with_a_remedy() -> None:
    with pytest.raises(EnvironmentFailure) as error, files.explained(Path("/dev/full"), "stage train cannot write to"):
        Path("/dev/full").write_text("x", encoding="utf-8")
    assert str(error.value) == (
        "environment: stage train cannot write to /dev/full: no space left on its disk\n"
        "  Free some space and run again; finished stages are reused."
    )
    assert (error.value.exit_code, error.value.retryable) == (75, True)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "Name another with --root or --serving-dir, or fix its permissions."),
        (errno.EROFS, "Name another with --root or --serving-dir, or fix its permissions."),
        (errno.ENOTDIR, "Name another with --root or --serving-dir."),
    ],
)
def test_an_unusable_directory_is_an_error_with_a_remedy(number: int, remedy: str) -> None:
    error = files.explain(OSError(number, os.strerror(number)), Path("/there"), "cannot use ROOT")
    assert str(error) == f"store: cannot use ROOT /there: {os.strerror(number)}\n  {remedy}"
    assert error.exit_code == 2


def test_a_linked_file_is_not_read_again_unless_it_has_changed_since(tmp_path: Path) -> None:
    artifact, out = tmp_path / "artifact", tmp_path / "out"
    artifact.mkdir()
    for name in ("same", "altered"):
        (artifact / name).write_bytes(b"12345")
    entries = files.listing(artifact)
    assert files.link_checked(artifact, entries, out)
    status = (out / "same").stat()
    (out / "same").write_bytes(b"54321")  # through the link, and with the old times: whether it is read shows
    os.utime(out / "same", ns=(status.st_atime_ns, status.st_mtime_ns))
    (out / "altered").write_bytes(b"54321")
    os.utime(out / "altered", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    digests = {name: entry["sha256"] for name, entry in files.listing(out).items()}
    assert digests["same"] == entries["same"]["sha256"]
    assert digests["altered"] != entries["altered"]["sha256"]
    assert files.listing(out)["same"]["sha256"] != entries["same"]["sha256"], "a digest is taken over once"


def test_files_that_differ_from_their_manifest_are_not_linked(tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    (artifact / "a").write_bytes(b"12345")
    entries = files.listing(artifact)
    (artifact / "a").write_bytes(b"54321")
    assert not files.link_checked(artifact, entries, tmp_path / "out")
    assert not (tmp_path / "out").exists()
