"""What the configured dataset is now, looked up while planning."""

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


def looked_up(folder, tfds="own", data_dir="data", digests=None, module="own_data"):
    source = Tfds(tfds=tfds, module=module)
    return source_data.function(source=source, place=Place(str(folder / data_dir)), digests=digests)


def changes(before, after):
    """What a plan says of the change."""
    source = Tfds(tfds="own")
    node = ingest(data=source_data(source=source, place=Place()), source=source, place=Place())
    return CacheKey.of(node, {"data": after}).differences(CacheKey.of(node, {"data": before}).parts)


def test_data_that_did_not_change_has_the_same_key(prepared):
    assert changes(looked_up(prepared), looked_up(prepared)) == []


def test_a_raised_version_is_seen(prepared):
    before = looked_up(prepared)
    (prepared / "own_data.py").write_text(BUILDER.replace("1.2.3", "1.3.0"), encoding="utf-8")
    assert changes(before, looked_up(prepared)) == ["data.version changed from 1.2.3 to 1.3.0"]


def test_a_comment_in_the_builder_is_no_change(prepared):
    before = looked_up(prepared)
    (prepared / "own_data.py").write_text(f"# a comment\n{BUILDER}", encoding="utf-8")
    assert changes(before, looked_up(prepared)) == []


@pytest.mark.parametrize("tfds", ["own", "own:1.*.*"])
def test_a_newer_prepared_version_is_seen(prepared, tfds):
    before = looked_up(prepared, tfds)
    shutil.copytree(prepared / "data/own/1.2.3", prepared / "data/own/1.9.0")
    after = looked_up(prepared, tfds)
    assert "data.files changed from 2 to 4" in changes(before, after)


def test_changed_bytes_of_the_same_size_are_seen(prepared):
    digests = prepared / "digests.json"
    before = looked_up(prepared, digests=digests)
    (prepared / "data/own/1.2.3/own-train.tfrecord-00000-of-00001").write_bytes(b"RECORDS")
    assert changes(before, looked_up(prepared, digests=digests)) == ["data.contents changed"]


def test_a_touched_file_is_read_again_and_is_no_change(prepared):
    digests = prepared / "digests.json"
    before = looked_up(prepared, digests=digests)
    os.utime(prepared / "data/own/1.2.3/dataset_info.json", (1, 1))
    assert changes(before, looked_up(prepared, digests=digests)) == []


def test_the_same_bytes_in_another_folder_are_the_same_data_and_other_bytes_are_not(prepared):
    shutil.copytree(prepared / "data", prepared / "moved")
    assert changes(looked_up(prepared), looked_up(prepared, data_dir="moved")) == []
    (prepared / "moved/own/1.2.3/more.tfrecord").write_bytes(b"more")
    assert changes(looked_up(prepared), looked_up(prepared, data_dir="moved")) != []


def test_an_unfinished_download_does_not_count(prepared):
    before = looked_up(prepared)
    (prepared / "data/own/incomplete.ABC_1.3.0").mkdir()
    (prepared / "data/own/incomplete.ABC_1.3.0/part").write_bytes(b"half")
    assert changes(before, looked_up(prepared)) == []


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


def test_neither_tfds_nor_tensorflow_is_imported(prepared):
    program = (
        "import sys; from schemas.settings.source import Tfds; from components.sources.reading import Place;"
        "from components.resolvers.source_data import source_data;"
        "source_data.function(source=Tfds(tfds='mnist_sample', module='components.mnist_sample'), place=Place('data'));"
        "print([name for name in ('tensorflow', 'tensorflow_datasets', 'apache_beam') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
