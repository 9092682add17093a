"""The contract of all sources: pieces, batches, labels, and records that do not depend on the partition of the work."""

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
from components.sources import KINDS, open_source
from components.sources.reading import Place, place_of
from gateline import Row
from schemas.example import BATCH_BYTES
from schemas.settings.source import KINDS as SETTINGS
from schemas.settings.source import Custom, Folder, Idx, Table, Tfds, Tfrecord
from tests.components import pictures
from tests.components.image_files import idx_files, image_folder, tfrecord_files
from tests.conftest import UNPREPARED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    images, labels = pictures.pictures(300, seed=3)
    return image_folder(tmp_path_factory.mktemp("folder") / "colours", images, labels, pictures.NAMES)


def tables(folder: Path) -> dict[str, Path]:
    """The images of a folder as tables of paths and as a table of contents, sorted by label and file."""
    order = sorted(pictures.NAMES)
    files = [path for name in order for path in sorted((folder / name).iterdir())]
    labels, paths = [path.parent.name for path in files], [str(path.relative_to(folder)) for path in files]
    contents = [path.read_bytes() for path in files]
    by_path = pa.table({"image": paths, "label": labels})
    image_structs = [{"bytes": content, "path": path} for content, path in zip(contents, paths, strict=True)]
    paths_ = {file_format: folder / f"colours.{file_format}" for file_format in ("csv", "jsonl", "parquet")}
    pyarrow.csv.write_csv(by_path, paths_["csv"])
    paths_["jsonl"].write_text("".join(f"{json.dumps(row)}\n" for row in by_path.to_pylist()), encoding="utf-8")
    pq.write_table(pa.table({"image": image_structs, "label": labels}), paths_["parquet"], row_group_size=64)
    return paths_


@pytest.fixture(scope="module")
def table_files(folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("tabled") / "colours"
    shutil.copytree(folder, root)
    return tables(root)


class ListedFiles:
    """A user's source class: the files of a folder."""

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
def source(request, folder, table_files, data_dir, tmp_path_factory):
    if request.param == "folder":
        return Folder(folder=str(folder), shard_size=70)
    if request.param in table_files:
        return Table(table=str(table_files[request.param]), shard_size=70)
    if request.param == "custom":
        return Custom(custom=f"{__name__}:ListedFiles", options={"folder": str(folder)}, shard_size=70)
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
    reader_ = open_source(source, place_of(source))
    reader_.prepare(lambda _: None)
    return reader_


def test_pieces_are_numbered_and_name_their_splits(reader):
    pieces = reader.pieces()
    by_splits: dict[tuple[str, ...], list[int]] = {}
    for piece in pieces:
        by_splits.setdefault(piece.splits, []).append(piece.index)
        assert set(piece.splits) <= {"train", "validation", "test"}
    assert all(indices == list(range(len(indices))) for indices in by_splits.values())
    assert {split for piece in pieces for split in piece.splits} == {"train", "validation", "test"}
    assert len(pieces) > 2


def test_a_pickled_reader_reads_the_same(reader):
    copied = pickle.loads(pickle.dumps(reader))
    for piece in reader.pieces()[:2]:
        for one, other in zip(reader.read(piece, "raw"), copied.read(piece, "raw"), strict=True):
            assert one.labels == other.labels
            assert all(np.array_equal(a, b) for a, b in zip(one.images, other.images, strict=True))


def test_images_are_uint8_with_channels_and_labels_have_names(source, reader):
    names, labels_seen = reader.labels(), set()
    for piece in reader.pieces():
        for batch in reader.read(piece, "raw"):
            assert len(batch.images) == len(batch.labels)
            assert sum(image.nbytes for image in batch.images[:-1]) < BATCH_BYTES
            assert all(image.dtype == np.uint8 and image.ndim == 3 for image in batch.images)
            labels_seen |= set(batch.labels)
    assert labels_seen == set(range(len(names)))
    assert sorted(names) == (["0", "1", "2"] if isinstance(source, Idx) else sorted(pictures.NAMES))


def test_a_reader_has_a_title_and_names(reader):
    assert reader.title
    assert len(reader.names) == 2
    assert 0 < reader.shares["validation"] < 1


@pytest.mark.parametrize("workers", [1, 2])
def test_records_do_not_depend_on_the_number_of_workers(workers, source, new_run):
    one, other = (
        ingest.function(UNPREPARED, source=source, place=place_of(source), run=new_run(workers=n)) for n in (1, workers)
    )
    assert one.splits == other.splits
    assert pictures.contents(one.path) == pictures.contents(other.path)


def test_splits_do_not_depend_on_the_shard_size(source, new_run):
    other_shards = source.model_copy(update={"shard_size": 33})
    one, other = (
        ingest.function(UNPREPARED, source=s, place=place_of(s), run=new_run()) for s in (source, other_shards)
    )
    for split in ("train", "validation", "test"):
        images = [sorted(image.tobytes() for image in pictures.images(examples, split)) for examples in (one, other)]
        assert images[0] == images[1]


def test_the_location_is_not_keyed(source):
    from pipeline.engine.cache_key import plain

    if isinstance(source, Custom):  # the class itself defines its location
        assert place_of(source) == Place()
        return
    elsewhere = source.model_copy(update={"data_dir" if isinstance(source, Tfds) else source.key: "/elsewhere"})
    assert plain(elsewhere) == plain(source)
    assert place_of(elsewhere) != place_of(source)
    assert Place() == Place(None, None, None)


@pytest.mark.parametrize("encoding", ["raw", "encoded"])
def test_folder_and_tables_of_equal_images_give_equal_records(encoding, folder, table_files, new_run):
    sources = [Folder(folder=str(folder)), *(Table(table=str(path)) for path in table_files.values())]
    all_examples = [
        ingest.function(UNPREPARED, source=source_, place=place_of(source_), encoding=encoding, run=new_run())
        for source_ in sources
    ]
    *of_files, of_contents = all_examples
    assert len({source_.test for source_ in of_files}) == 1
    contents = [
        {name: content for name, content in pictures.contents(source_.path).items() if name != "pieces.json"}
        for source_ in of_files
    ]
    assert all(source_ == contents[0] for source_ in contents)
    for split in ("train", "validation", "test"):  # images in a table have no file: all but their provenance is equal
        one, other = (pictures.columns(examples, split) for examples in (of_files[0], of_contents))
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one.keys() - {"source/index", "source/file"})


def test_every_kind_of_settings_has_a_reader_and_a_fingerprint():
    assert set(KINDS) == set(SETTINGS.values())
