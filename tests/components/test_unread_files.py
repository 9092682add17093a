"""Every file of a source is read, set aside with the reason, or refused; a fault of the machine is none of the data."""

import errno
import os
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from components.ingest import ingest
from components.resolvers.source_data import source_data
from components.sources import custom, open_source
from components.sources.files import read
from components.sources.fingerprint import Digests
from components.sources.reading import place_of
from schemas.errors import DataError, EnvironmentFailure
from schemas.settings.source import Custom, Folder, Unreadable
from tests.components import pictures
from tests.components.image_files import image_folder
from tests.conftest import UNPREPARED

PNG = imagecodecs.png_encode(np.zeros((8, 8, 3), np.uint8))


def colours(root: Path, count: int = 200) -> Path:
    return image_folder(root, *pictures.pictures(count, seed=5), pictures.NAMES)


def ingested(folder: Path, run, **settings):
    source = Folder(folder=str(folder), **settings)
    return ingest.function(UNPREPARED, source=source, place=place_of(source), run=run)


def contents_of(folder: Path) -> str:
    source = Folder(folder=str(folder))
    return source_data.function(source=source, place=place_of(source)).contents


def add(path: Path, content: bytes = PNG) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_files_in_no_folder_of_a_label_are_set_aside(tmp_path, new_run):
    folder = colours(tmp_path / "own")
    loose, readme = add(folder / "loose.png"), add(folder / "README.md", b"read me")
    assert ingested(folder, new_run()).set_aside() == [
        ("README.md", f"{readme} is no image and in no folder of a label"),
        ("loose.png", f"{loose} is in no folder of a label"),
    ]
    with pytest.raises(DataError, match=r"1 image \(0\.5%\) cannot be read; .* allows none: .*loose\.png is in no"):
        ingested(folder, new_run(), unreadable=Unreadable(then="error"))
    loose.unlink()
    ingested(folder, new_run(), unreadable=Unreadable(then="error"))


def test_files_beside_the_labels_of_a_split_are_set_aside(tmp_path, new_run):
    for split in ("train", "test"):
        colours(tmp_path / "own" / split)
    add(tmp_path / "own" / "a.png")
    add(tmp_path / "own" / "test" / "b.png")
    add(tmp_path / "own" / "train" / "c.png")
    names = [name for name, _ in ingested(tmp_path / "own", new_run()).set_aside()]
    assert names == ["a.png", "test/b.png", "train/c.png"]


def test_folders_beside_those_of_splits_are_refused(tmp_path, new_run):
    for split in ("train", "test"):
        colours(tmp_path / "own" / split, 30)
    add(tmp_path / "own" / "extra" / "red" / "a.png")
    with pytest.raises(DataError) as error:
        ingested(tmp_path / "own", new_run())
    assert error.value.cause == (
        f"{tmp_path / 'own'} holds folders for splits (test, train), and others beside them: extra"
    )
    assert error.value.remedy == (
        "Move these into the splits or away. If test is a label, put its images directly into its folder, "
        "or list the images in a table: source.table."
    )


def test_a_label_may_be_called_train(tmp_path, new_run):
    folder = colours(tmp_path / "vehicles")
    (folder / "red").rename(folder / "train")
    source = Folder(folder=str(folder))
    assert open_source(source, place_of(source)).labels() == ("blue", "green", "train")
    run = new_run()
    assert sum(split.count for split in ingested(folder, run).splits.values()) == 200
    assert f"{folder / 'train'} holds images, not folders of labels: it is read as a label" in run.logged


ODD = ["incomplete/a.png", "red/incomplete.png", "red/a.incomplete/b.png", "red/@eaDir/c.png", "__MACOSX/red/d.png"]
ODD += ["red/.hidden.png", "red/Thumbs.db", "loose.png", "red/ü\n.png", "red/no suffix", ".hidden/e.png"]


def test_exactly_the_files_that_are_read_are_digested(tmp_path, new_run):
    for name in ODD:
        add(tmp_path / "own" / name)
    (tmp_path / "own" / "red" / "broken link.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "own" / "red" / "pipe.png")
    source = Folder(folder=str(tmp_path / "own"))
    reader = open_source(source, place_of(source))
    files = [file for piece in reader.pieces() for file in piece.files]
    assert sorted(files) == sorted(Digests(None).of(tmp_path / "own", set_aside=True))
    assert reader.labels() == ("incomplete", "red")
    assert {"incomplete/a.png", "red/a.incomplete/b.png", "loose.png", "red/broken link.png"} <= {*files}
    assert not {"red/@eaDir/c.png", "__MACOSX/red/d.png", "red/Thumbs.db", "red/.hidden.png"} & {*files}
    unreadable = dict(pair for batch in reader.read(reader.pieces()[0], "raw") for pair in batch.unreadable)
    assert unreadable["red/pipe.png"] == f"{tmp_path}/own/red/pipe.png cannot be read: Not a file"


def test_a_change_in_a_label_called_incomplete_is_detected(tmp_path):
    path = add(tmp_path / "own" / "incomplete" / "a.png")
    before = contents_of(tmp_path / "own")
    path.write_bytes(PNG + b"x")
    assert contents_of(tmp_path / "own") != before


def test_an_image_without_read_permission_is_set_aside(new_run):
    with tempfile.TemporaryDirectory() as root:  # pytest's directories belong to root only
        Path(root).chmod(0o755)
        folder = colours(Path(root) / "own")
        denied = min((folder / "red").iterdir())
        digests = Path(root) / "digests.json"
        source = Folder(folder=str(folder))
        state = lambda: source_data.function(source=source, place=place_of(source), digests=digests).contents  # noqa: E731
        before = state()
        denied.chmod(0)
        if (user := os.geteuid()) == 0:
            os.seteuid(65534)
        try:
            assert state() != before  # so that the image is read once the permission is back
            assert str(read(denied, "it")) == "data: it cannot be read: Permission denied"
        finally:
            os.seteuid(user)


class Failing(os.PathLike):
    """A file on a disk that fails: the real calls with the kernel's error need a broken disk."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __fspath__(self) -> str:
        raise OSError(self.number, os.strerror(self.number))

    def exists(self) -> bool:
        return False

    def read_bytes(self) -> bytes:
        return Path(os.fspath(self)).read_bytes()


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOTCONN])
def test_a_fault_of_the_machine_is_not_one_of_the_image(number):
    with pytest.raises(EnvironmentFailure) as error:
        read(Failing(number), "a.png")
    assert error.value.cause == f"a.png cannot be read: {os.strerror(number)}"


class Remote:
    """A user's source whose server fails."""

    def __init__(self, failing: str) -> None:
        self.failing = failing

    def rows(self):
        if self.failing == "rows":
            raise TimeoutError("no answer")
        from gateline import Row

        return [Row(f"{i}.png", i % 2) for i in range(20)]

    def content(self, name: str) -> bytes:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


@pytest.mark.parametrize(
    ("failing", "cause"),
    [("rows", r"rows\(\) of .* failed: TimeoutError: no answer"), ("content", r"content\('0.png'\) of .* Connection")],
)
def test_a_network_that_fails_is_not_the_fault_of_the_data(failing, cause):
    source = Custom(custom=f"{__name__}:Remote", options={"failing": failing})
    with pytest.raises(EnvironmentFailure, match=cause) as error:
        list(custom.CustomReader(source, place_of(source)).contents([0]))
    assert error.value.retryable
