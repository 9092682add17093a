"""One suite for all kinds of sources: pieces, batches, labels, and records that do not depend on how work is cut."""

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from components.ingest import ingest
from components.sources import open_source
from components.sources.reading import Place, place_of
from gateline import Row
from schemas.example import BATCH_BYTES
from schemas.settings.source import Custom, Folder, Idx, Table, Tfds, Tfrecord
from tests.components import pictures
from tests.components.image_files import idx_files, image_folder, tfrecord_files
from tests.conftest import UNPREPARED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    images, labels = pictures.pictures(300, seed=3)
    return image_folder(tmp_path_factory.mktemp("folder") / "colours", images, labels, pictures.NAMES)


def tables(folder: Path) -> dict[str, Path]:
    """The images of a folder as tables of paths, and as a table of their content, in the order of labels and files."""
    order = sorted(pictures.NAMES)
    files = [path for name in order for path in sorted((folder / name).iterdir())]
    labels, paths = [path.parent.name for path in files], [str(path.relative_to(folder)) for path in files]
    contents = [path.read_bytes() for path in files]
    by_path = pa.table({"image": paths, "label": labels})
    structs = [{"bytes": content, "path": path} for content, path in zip(contents, paths, strict=True)]
    made = {form: folder / f"colours.{form}" for form in ("csv", "jsonl", "parquet")}
    pyarrow.csv.write_csv(by_path, made["csv"])
    made["jsonl"].write_text("".join(f"{json.dumps(row)}\n" for row in by_path.to_pylist()), encoding="utf-8")
    pq.write_table(pa.table({"image": structs, "label": labels}), made["parquet"], row_group_size=64)
    return made


@pytest.fixture(scope="module")
def tabled(folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("tabled") / "colours"
    shutil.copytree(folder, root)
    return tables(root)


class Listed:
    """A source as a user writes it: the files of a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def rows(self) -> Iterator[Row]:
        for path in sorted(self.folder.glob("*/*.png")):
            yield Row(
                str(path.relative_to(self.folder)), path.parent.name, metadata={"parity": str(int(path.stem) % 2)}
            )

    def content(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@pytest.fixture(params=["tfds", "folder", "csv", "jsonl", "parquet", "tfrecord", "idx", "custom"])
def source(request, folder, tabled, data_dir, tmp_path_factory):
    if request.param == "folder":
        return Folder(folder=str(folder), shard_size=70)
    if request.param in tabled:
        return Table(table=str(tabled[request.param]), shard_size=70)
    if request.param == "custom":
        return Custom(custom=f"{__name__}:Listed", options={"folder": str(folder)}, shard_size=70)
    if request.param == "tfrecord":
        rows = [(path.read_bytes(), path.parent.name) for path in sorted(folder.glob("*/*.png"))]
        return Tfrecord(tfrecord=tfrecord_files(tmp_path_factory.mktemp("records"), rows, 4))
    if request.param == "idx":
        images, labels = pictures.pictures(300, seed=3)
        root = tmp_path_factory.mktemp("idx")
        return Idx(
            idx=str(idx_files(root, train=(images[:220], labels[:220]), t10k=(images[220:], labels[220:]))),
            shard_size=70,
        )
    return Tfds(tfds="pictures/jpeg", module="tests.components.pictures", data_dir=data_dir, shard_size=20)


@pytest.fixture
def reader(source):
    opened = open_source(source, place_of(source))
    opened.prepare(lambda _: None)
    return opened


def test_pieces_are_numbered_and_name_the_splits_that_they_feed(reader):
    pieces = reader.pieces()
    by_splits: dict[tuple[str, ...], list[int]] = {}
    for piece in pieces:
        by_splits.setdefault(piece.splits, []).append(piece.index)
        assert set(piece.splits) <= {"train", "validation", "test"}
    assert all(indices == list(range(len(indices))) for indices in by_splits.values())
    assert {split for piece in pieces for split in piece.splits} == {"train", "validation", "test"}
    assert len(pieces) > 2


def test_a_reader_goes_to_a_worker_and_reads_the_same_there(reader):
    copied = pickle.loads(pickle.dumps(reader))
    for piece in reader.pieces()[:2]:
        for one, other in zip(reader.read(piece, "raw"), copied.read(piece, "raw"), strict=True):
            assert one.labels == other.labels
            assert all(np.array_equal(a, b) for a, b in zip(one.images, other.images, strict=True))


def test_images_are_bytes_with_channels_and_labels_have_names(source, reader):
    names, seen = reader.labels(), set()
    for piece in reader.pieces():
        for batch in reader.read(piece, "raw"):
            assert len(batch.images) == len(batch.labels)
            assert sum(image.nbytes for image in batch.images[:-1]) < BATCH_BYTES
            assert all(image.dtype == np.uint8 and image.ndim == 3 for image in batch.images)
            seen |= set(batch.labels)
    assert seen == set(range(len(names)))
    assert sorted(names) == (["0", "1", "2"] if isinstance(source, Idx) else sorted(pictures.NAMES))


def test_a_reader_has_a_title_and_names_for_the_records(reader):
    assert reader.title
    assert len(reader.names) == 2
    assert 0 < reader.shares["validation"] < 1


@pytest.mark.parametrize("workers", [1, 2])
def test_records_do_not_depend_on_the_number_of_workers(workers, source, lend):
    one, other = (
        ingest.function(UNPREPARED, source=source, place=place_of(source), run=lend(workers=n)) for n in (1, workers)
    )
    assert one.splits == other.splits
    assert pictures.contents(one.path) == pictures.contents(other.path)


def test_images_stay_in_their_split_however_the_work_is_cut(source, lend):
    cut = source.model_copy(update={"shard_size": 33})
    whole, parts = (ingest.function(UNPREPARED, source=s, place=place_of(s), run=lend()) for s in (source, cut))
    for split in ("train", "validation", "test"):
        images = [sorted(image.tobytes() for image in pictures.images(each, split)) for each in (whole, parts)]
        assert images[0] == images[1]


def test_a_place_is_no_part_of_the_settings_that_are_keyed(source):
    from pipeline.engine.cache_key import plain

    if isinstance(source, Custom):  # its place is the class's own affair
        assert place_of(source) == Place()
        return
    moved = source.model_copy(update={"data_dir" if isinstance(source, Tfds) else source.key: "/elsewhere"})
    assert plain(moved) == plain(source)
    assert place_of(moved) != place_of(source)
    assert Place() == Place(None, None, None)


@pytest.mark.parametrize("encoding", ["raw", "encoded"])
def test_a_folder_and_tables_of_the_same_images_give_the_same_records(encoding, folder, tabled, lend):
    sources = [Folder(folder=str(folder)), *(Table(table=str(path)) for path in tabled.values())]
    made = [
        ingest.function(UNPREPARED, source=each, place=place_of(each), encoding=encoding, run=lend())
        for each in sources
    ]
    assert len({each.test for each in made}) == 1
    contents = [pictures.contents(each.path) for each in made]
    assert all(each == contents[0] for each in contents)
