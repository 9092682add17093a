"""Resolver `source_data`: the state of the dataset while planning."""

import os
import shutil
import subprocess
import sys

import pytest

from components.ingest import ingest
from components.resolvers.source_data import source_data
from components.sources.fingerprint import Digests
from components.sources.reading import Place
from pipeline.engine.cache_key import CacheKey
from schemas.settings.source import Tfds

BUILDER = "class Own(Builder):\n    VERSION = core.Version('1.2.3')\n"


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A prepared dataset of a builder in a module of the current directory."""
    (tmp_path / "own_data.py").write_text(BUILDER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "data/own/1.2.3"
    folder.mkdir(parents=True)
    (folder / "own-train.tfrecord-00000-of-00001").write_bytes(b"records")
    (folder / "dataset_info.json").write_text("{}", encoding="utf-8")
    return tmp_path


def source_state(folder, tfds="own", data_dir="data", digests=None, module="own_data"):
    source = Tfds(tfds=tfds, module=module)
    return source_data.function(source=source, place=Place(str(folder / data_dir)), digests=digests)


def changes(before, after):
    """The differences that a plan reports."""
    source = Tfds(tfds="own")
    node = ingest(data=source_data(source=source, place=Place()), source=source, place=Place())
    return CacheKey.of(node, {"data": after}).differences(CacheKey.of(node, {"data": before}).parts)


def test_unchanged_data_has_the_same_key(prepared):
    assert changes(source_state(prepared), source_state(prepared)) == []


def test_a_new_version_of_the_builder_is_detected(prepared):
    before = source_state(prepared)
    (prepared / "own_data.py").write_text(BUILDER.replace("1.2.3", "1.3.0"), encoding="utf-8")
    assert changes(before, source_state(prepared)) == ["data.version changed from 1.2.3 to 1.3.0"]


def test_a_comment_in_the_builder_is_not_a_change(prepared):
    before = source_state(prepared)
    (prepared / "own_data.py").write_text(f"# a comment\n{BUILDER}", encoding="utf-8")
    assert changes(before, source_state(prepared)) == []


@pytest.mark.parametrize("tfds", ["own", "own:1.*.*"])
def test_a_newer_prepared_version_is_detected(prepared, tfds):
    before = source_state(prepared, tfds)
    shutil.copytree(prepared / "data/own/1.2.3", prepared / "data/own/1.9.0")
    after = source_state(prepared, tfds)
    assert "data.files changed from 2 to 4" in changes(before, after)


def test_changed_bytes_of_the_same_size_are_detected(prepared):
    digests = prepared / "digests.json"
    before = source_state(prepared, digests=digests)
    (prepared / "data/own/1.2.3/own-train.tfrecord-00000-of-00001").write_bytes(b"RECORDS")
    assert changes(before, source_state(prepared, digests=digests)) == ["data.contents changed"]


def test_a_touched_file_is_not_a_change(prepared):
    digests = prepared / "digests.json"
    before = source_state(prepared, digests=digests)
    os.utime(prepared / "data/own/1.2.3/dataset_info.json", (1, 1))
    assert changes(before, source_state(prepared, digests=digests)) == []


def test_the_key_depends_on_the_bytes_and_not_on_the_folder(prepared):
    shutil.copytree(prepared / "data", prepared / "moved")
    assert changes(source_state(prepared), source_state(prepared, data_dir="moved")) == []
    (prepared / "moved/own/1.2.3/more.tfrecord").write_bytes(b"more")
    assert changes(source_state(prepared), source_state(prepared, data_dir="moved")) != []


def test_an_unfinished_download_is_ignored(prepared):
    before = source_state(prepared)
    (prepared / "data/own/incomplete.ABC_1.3.0").mkdir()
    (prepared / "data/own/incomplete.ABC_1.3.0/part").write_bytes(b"half")
    assert changes(before, source_state(prepared)) == []


def test_unchanged_files_are_not_read_again(prepared):
    digests = Digests(prepared / "digests.json")
    digests.of(prepared / "data")
    digests.save()
    path = prepared / "data/own/1.2.3/own-train.tfrecord-00000-of-00001"
    state = path.stat()
    with path.open("r+b") as file:  # in place: the same inode and size, and then the same time
        file.write(b"RECORDS")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert Digests(prepared / "digests.json").of(prepared / "data") == digests.of(prepared / "data")


def test_the_resolver_imports_neither_tfds_nor_tensorflow(prepared):
    program = (
        "import sys; from schemas.settings.source import Tfds; from components.sources.reading import Place;"
        "from components.resolvers.source_data import source_data;"
        "source_data.function(source=Tfds(tfds='mnist_sample', module='components.mnist_sample'), place=Place('data'));"
        "print([name for name in ('tensorflow', 'tensorflow_datasets', 'apache_beam') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
