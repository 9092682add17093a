"""Source `table`: groups in delivered splits, quoted lines, names of columns, and images that Parquet files hold."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ingest import ingest
from components.sources import open_source
from components.sources.reading import place_of
from schemas.errors import DataError
from schemas.settings.source import Table
from tests.components import pictures
from tests.conftest import UNPREPARED

COUNT = 90


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    """PNG files of three classes in turn."""
    return pictures.png_files(tmp_path_factory.mktemp("photos"), COUNT)


LABELS = [pictures.NAMES[i % 3] for i in range(COUNT)]


def write_csv(path: Path, columns: dict[str, list[object]]) -> Table:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([list(columns), *zip(*columns.values(), strict=True)])
    path.write_text(text.getvalue(), encoding="utf-8")
    return Table(table=str(path))


def ingested(table: Table, run):
    return ingest.function(UNPREPARED, source=table, place=place_of(table), encoding="encoded", run=run)


def test_a_group_in_two_delivered_splits_is_refused(photos, tmp_path, new_run):
    splits = [("train", "test", "validation")[i // 3 % 3] for i in range(COUNT)]
    groups = ["anna" if i in (0, 3) else "ben" if i in (3, 4, 7) else f"patient {i}" for i in range(COUNT)]
    table = write_csv(tmp_path / "labels.csv", {"image": photos, "label": LABELS, "split": splits, "group": groups})
    with pytest.raises(DataError) as error:
        ingested(table, new_run())
    causes = f"group anna of {table.table} is in train and in test; in all, 2 groups are in several splits"
    assert error.value.cause == causes
    assert error.value.remedy == (
        "Put each group into one split, or name another source.split to draw the splits by group."
    )
    drawn = ingested(table.model_copy(update={"split": "none"}), new_run())
    assert sum(split.count for split in drawn.splits.values()) == COUNT


def test_quoted_values_may_contain_lines_beyond_the_first_block(photos, tmp_path, new_run):
    notes = ["line one\nline two, with a comma" + " and more" * 4000 for _ in range(COUNT)]
    table = write_csv(tmp_path / "labels.csv", {"image": photos, "label": LABELS, "note": notes})
    assert Path(table.table).stat().st_size > 2**21
    reader = open_source(table.model_copy(update={"metadata": ["note"]}), place_of(table), ())
    assert set(reader.rows.metadata["note"]) == {notes[0]}
    examples = ingested(table.model_copy(update={"metadata": []}), new_run())
    assert sum(split.count for split in examples.splits.values()) == COUNT


@pytest.mark.parametrize("name", ["site", ""])
def test_two_columns_of_one_name_are_refused(name, photos, tmp_path, new_run):
    path = tmp_path / "labels.csv"
    path.write_text(f"image,label,{name},{name}\n{photos[0]},red,a,b\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        ingested(Table(table=str(path)), new_run())
    called = f"called {name}" if name else "without a name"
    assert error.value.cause == f"source.table {path} has two columns {called}"


def test_rows_of_hugging_face_may_name_files(photos, tmp_path, new_run):
    values = [
        {"bytes": photo.read_bytes(), "path": photo.name} if i % 2 else {"bytes": None, "path": str(photo)}
        for i, photo in enumerate(photos)
    ]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"image": pa.array(values, kind), "label": LABELS}), path)
    examples = ingested(Table(table=str(path)), new_run())
    assert examples.unreadable == 0
    contents = [content for split in examples.splits for content in pictures.columns(examples, split)["image"]]
    assert sorted(contents) == sorted(photo.read_bytes() for photo in photos)


def test_a_worker_reads_each_row_group_once(photos, tmp_path, monkeypatch):
    path = tmp_path / "labels.parquet"
    images = [photo.read_bytes() for photo in photos]
    pq.write_table(pa.table({"image": images, "label": LABELS}), path, row_group_size=20)
    table = Table(table=str(path), shard_size=7)
    reader = open_source(table, place_of(table), ())
    opened = []
    iter_batches = pq.ParquetFile.iter_batches

    def counted(self, *arguments, row_groups, **options):
        opened.extend(row_groups)
        return iter_batches(self, *arguments, row_groups=row_groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    read = [
        content for piece in reader.pieces() for batch in reader.read(piece, "encoded") for content in batch.contents
    ]
    assert read == images
    assert opened == [0, 1, 2, 3, 4]
