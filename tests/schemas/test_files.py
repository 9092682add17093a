"""Listings and digests of an artifact's files."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import files
from schemas.errors import StoreError

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


def test_a_file_of_an_artifact_names_its_stage() -> None:
    shard = Path("artifacts") / "shop" / "artifacts" / "ingest" / "3f9a" / "train-0.tfrecord"
    assert (files.stage_of(shard), files.stage_of(shard.parent)) == ("ingest", "ingest")
    assert files.rerun(shard) == "Run again with --force ingest."


def test_a_file_outside_a_store_has_no_stage() -> None:
    for path in (Path("train-0.tfrecord"), Path("artifacts/train-0.tfrecord"), Path("/artifacts")):
        assert files.stage_of(path) is None
    assert files.rerun(Path("train-0.tfrecord")) == "Run again with --no-cache."


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
