"""Source `table`: splits and groups as columns, and the errors of an invalid table."""

import functools
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from components.describe import describe
from components.ingest import ingest
from components.resolvers.source_data import source_data
from components.sources import open_source
from components.sources.reading import place_of
from schemas import shard_reader, statistics
from schemas.errors import ConfigurationError, DataError
from schemas.settings.source import Table
from tests.components import pictures
from tests.conftest import UNPREPARED

COUNT = 240


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    """PNG files of three classes in turn."""
    return pictures.png_files(tmp_path_factory.mktemp("photos"), COUNT)


def csv(folder: Path, photos: list[Path], **columns: list[object]) -> Table:
    """A table of the photos with the labels red, green and blue in turn, unless `columns` has others."""
    columns_ = {"image": photos, "label": [pictures.NAMES[i % 3] for i in range(len(photos))]} | columns
    lines = [",".join(map(str, row)) for row in zip(*columns_.values(), strict=True)]
    path = folder / "labels.csv"
    path.write_text("\n".join([",".join(columns_), *lines, ""]), encoding="utf-8")
    return Table(table=str(path))


def ingested(table: Table, run, labels=None):
    return ingest.function(UNPREPARED, source=table, place=place_of(table), encoding="encoded", labels=labels, run=run)


def contents(examples, split: str) -> set[bytes]:
    return set(pictures.columns(examples, split)["image"])


def refused(table: Table, run) -> str:
    with pytest.raises(DataError) as error:
        ingested(table, run)
    return f"{error.value.cause}\n{error.value.remedy}"


def test_a_column_of_splits_is_used(photos, tmp_path, new_run):
    names = ["train", "val", "test", "TRAIN", "validation", "valid"]
    splits = [names[i % 6] for i in range(COUNT)]
    examples = ingested(csv(tmp_path, photos, split=splits), new_run())
    for split, split_names in (
        ("train", {"train", "TRAIN"}),
        ("validation", {"val", "validation", "valid"}),
        ("test", {"test"}),
    ):
        expected = {photo.read_bytes() for photo, name in zip(photos, splits, strict=True) if name in split_names}
        assert contents(examples, split) == expected


def test_images_of_a_group_stay_in_one_split(photos, tmp_path, new_run):
    groups = [f"patient {i // 4}" for i in range(COUNT)]
    examples = ingested(csv(tmp_path, photos, group=groups), new_run())
    group = {photo.read_bytes(): name for photo, name in zip(photos, groups, strict=True)}
    groups_by_split = [
        {group[content] for content in contents(examples, split)} for split in ("train", "validation", "test")
    ]
    assert all(groups_by_split)
    assert sum(map(len, groups_by_split)) == len(set(groups)) == 60
    assert 4 <= len(groups_by_split[2]) <= 24  # a fifth of the groups, drawn by a hash


def test_the_split_of_a_group_is_stable_when_others_are_added(photos, tmp_path, new_run):
    groups = [f"patient {i // 4}" for i in range(COUNT)]
    all_photos = ingested(csv(tmp_path, photos, group=groups), new_run())
    fewer_photos = ingested(csv(tmp_path, photos[:120], group=groups[:120]), new_run())
    for split in ("train", "validation", "test"):
        assert contents(fewer_photos, split) == contents(all_photos, split) & {
            photo.read_bytes() for photo in photos[:120]
        }


@pytest.mark.parametrize("labels", [[0, 1, 2], [10, 2, 0]])
def test_labels_can_be_numbers(labels, photos, tmp_path, new_run):
    table = csv(tmp_path, photos, label=[labels[i % 3] for i in range(COUNT)])
    assert open_source(table, place_of(table)).labels() == tuple(map(str, range(max(labels) + 1)))
    examples = ingested(table, new_run())
    assert set(pictures.columns(examples, "train")["label"].tolist()) == set(labels)


def test_numbers_with_leading_zeros_are_text(photos, tmp_path, new_run):
    classes, patients = ["007", "042"], ["0001", "0002", "0003"]
    labels, patient = ([names[i % len(names)] for i in range(COUNT)] for names in (classes, patients))
    table = csv(tmp_path, photos, label=labels, patient=patient)
    assert open_source(table, place_of(table)).labels() == ("007", "042")
    examples = ingested(table, new_run())
    assert {row["patient"] for row in metadata(examples, "train")} == {b"0001", b"0002", b"0003"}


def test_the_contract_defines_the_order_of_names(photos, tmp_path, new_run):
    examples = ingested(csv(tmp_path, photos), new_run(), labels=["green", "blue", "red"])
    number = dict(
        zip(pictures.columns(examples, "train")["image"], pictures.columns(examples, "train")["label"], strict=True)
    )
    assert {number[photo.read_bytes()] for photo in photos[::3] if photo.read_bytes() in number} == {2}


def test_columns_can_be_named(photos, tmp_path, new_run):
    table = pa.table({"img": [photo.read_bytes() for photo in photos], "colour": [i % 3 for i in range(COUNT)]})
    pq.write_table(table, tmp_path / "own.parquet", row_group_size=50)
    source = Table(table=str(tmp_path / "own.parquet"), image="img", label="colour")
    examples = ingested(source, new_run())
    assert sum(split.count for split in examples.splits.values()) == COUNT
    message = refused(Table(table=source.table), new_run())
    cause, remedy = message.split("\n")
    assert cause == f"source.table {source.table} has no column image"
    assert remedy == "It has img, colour; name it in source.image, or with --image of init."


def test_missing_and_damaged_files_are_set_aside_by_name(photos, tmp_path, new_run):
    files = [*photos[:-2], tmp_path / "gone.png", tmp_path / "broken.png"]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    examples = ingested(csv(tmp_path, files), new_run())
    assert examples.set_aside() == [
        (str(tmp_path / "broken.png"), f"{tmp_path}/broken.png cannot be decoded as an image"),
        (str(tmp_path / "gone.png"), f"{tmp_path}/gone.png cannot be read: No such file or directory"),
    ]


def test_a_row_without_an_image_is_set_aside_by_row_number(photos, tmp_path, new_run):
    images = [photo.read_bytes() for photo in photos[:-1]]
    table = pa.table({"image": [*images, None], "label": [i % 3 for i in range(COUNT)]})
    pq.write_table(table, tmp_path / "own.parquet")
    [(name, reason)] = ingested(Table(table=str(tmp_path / "own.parquet")), new_run()).set_aside()
    assert (name, reason) == ("row 239 of own.parquet", "row 239 of own.parquet holds no image")


@pytest.mark.parametrize(
    ("columns", "cause"),
    [
        ({"label": ["", *["red"] * (COUNT - 1)]}, "row 0 of {table} has no label"),
        ({"label": [0.5] * COUNT}, "column label of {table} holds neither names nor numbers from 0"),
        ({"label": [-1, *[1] * (COUNT - 1)]}, "column label of {table} holds neither names nor numbers from 0"),
        ({"split": ["train"] * COUNT}, "{table} states splits, but no row of test"),
        ({"split": ["holdout"] * COUNT}, "{table} states a split holdout"),
    ],
)
def test_an_invalid_table_is_refused(columns, cause, photos, tmp_path, new_run):
    table = csv(tmp_path, photos, **columns)
    assert refused(table, new_run()).split("\n")[0] == cause.format(table=table.table)


@pytest.mark.parametrize("name", ["missing.csv", "labels.txt", "a-folder.csv"])
def test_a_file_that_is_not_a_table_is_refused(name, tmp_path, new_run):
    (tmp_path / "labels.txt").write_text("image,label\n", encoding="utf-8")
    (tmp_path / "a-folder.csv").mkdir()
    message = refused(Table(table=str(tmp_path / name)), new_run())
    assert message.split("\n")[0] == f"source.table {tmp_path / name} is not a file of .csv, .jsonl, .parquet"


@pytest.mark.parametrize(("name", "content"), [("a.parquet", b"PAR1 no"), ("a.jsonl", b"{"), ("a.csv", b"a,b\n1\n")])
def test_a_damaged_table_is_refused(name, content, tmp_path, new_run):
    (tmp_path / name).write_bytes(content)
    message = refused(Table(table=str(tmp_path / name)), new_run())
    assert message.startswith(f"source.table {tmp_path / name} cannot be read: ")


def test_a_label_outside_the_contract_is_refused(photos, tmp_path, new_run):
    table = csv(tmp_path, photos)
    with pytest.raises(DataError, match=r"blue in .*labels.csv is not a label: the contract has red, green"):
        ingested(table, new_run(), labels=["red", "green"])


def test_the_table_and_its_files_are_keyed(photos, tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file, photo in zip(files, photos, strict=False):
        file.write_bytes(photo.read_bytes())
    table = csv(tmp_path, [file.name for file in files])
    state = lambda: source_data.function(source=table, place=place_of(table)).contents  # noqa: E731
    before = state()
    assert state() == before
    (tmp_path / "other.png").write_bytes(b"not in the table")
    assert state() == before
    files[1].write_bytes(photos[9].read_bytes())
    changed = state()
    assert changed != before
    csv(tmp_path, [file.name for file in files[:2]])
    assert state() not in (before, changed)


def test_a_row_with_an_empty_path_is_set_aside(photos, tmp_path, new_run):
    [(name, reason)] = ingested(csv(tmp_path, ["", *photos[1:]]), new_run()).set_aside()
    assert (name, reason) == ("row 0 of labels.csv", "row 0 of labels.csv names no image")


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view"])
def test_paths_in_parquet_can_have_any_text_type_and_be_missing(kind, photos, tmp_path, new_run):
    images = pa.array([None, *map(str, photos[1:])]).cast(getattr(pa, kind)())
    pq.write_table(pa.table({"image": images, "label": [i % 3 for i in range(COUNT)]}), tmp_path / "own.parquet")
    examples = ingested(Table(table=str(tmp_path / "own.parquet")), new_run())
    assert examples.set_aside() == [("row 0 of own.parquet", "row 0 of own.parquet names no image")]
    assert sum(split.count for split in examples.splits.values()) == COUNT - 1


def test_paths_can_be_numbers(photos, tmp_path, new_run):
    for number in range(COUNT):
        (tmp_path / str(number)).write_bytes(photos[number].read_bytes())
    examples = ingested(csv(tmp_path, list(range(COUNT))), new_run())
    assert sum(split.count for split in examples.splits.values()) == COUNT


def metadata(examples, split: str) -> list[dict[str, bytes]]:
    """The metadata of each record, in order."""
    names = examples.metadata
    columns = [
        shard_reader.parse(records, path, names)
        for _, path, count in examples.shards(split)
        for records in shard_reader.read(path, count)
    ]
    return [
        {name: value[f"metadata/{name}"][i] for name in names} for value in columns for i in range(len(value["label"]))
    ]


def write_table(columns: dict[str, list[object]], path: Path) -> Table:
    table = pa.table(columns)
    match path.suffix:
        case ".csv":
            pa_csv.write_csv(table, path)
        case ".jsonl":
            path.write_text("".join(f"{json.dumps(row, default=str)}\n" for row in table.to_pylist()), encoding="utf-8")
        case _:
            pq.write_table(table, path)
    return Table(table=str(path))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_further_columns_are_stored_in_the_records(suffix, photos, tmp_path, new_run):
    columns = {
        "site": ["Köln" if i % 2 else "Rome, north" for i in range(COUNT)],
        "camera": [["A7", "D850", None][i % 3] for i in range(COUNT)],
        "year": [2020 + i % 4 for i in range(COUNT)],
    }
    table = {"image": list(map(str, photos)), "label": [i % 3 for i in range(COUNT)]} | columns
    examples = ingested(write_table(table, tmp_path / f"own{suffix}"), new_run())
    assert examples.metadata == ("camera", "site", "year")
    row = {photo.read_bytes(): i for i, photo in enumerate(photos)}
    for split in examples.splits:
        images = pictures.columns(examples, split)["image"]
        for image, values in zip(images, metadata(examples, split), strict=True):
            expected = {name: values[row[image]] for name, values in columns.items()}
            assert values == {name: str("" if v is None else v).encode() for name, v in expected.items()}
    statistics_ = statistics.read(describe.function(examples, run=new_run()).path / "stats.tfrecord")
    years = [statistics.values(dataset, "metadata/year") for dataset in statistics_.values()]
    assert sum(map(Counter, years), Counter()) == {"2020": 60, "2021": 60, "2022": 60, "2023": 60}
    assert statistics.feature(statistics_["train"], "metadata/camera").string_stats.common_stats.num_missing > 0


def test_only_configured_metadata_columns_are_stored(photos, tmp_path, new_run):
    columns = {"group": [f"patient {i // 4}" for i in range(COUNT)], "notes": ["long"] * COUNT, "box": [[1, 2]] * COUNT}
    table = {"image": list(map(str, photos)), "label": [i % 3 for i in range(COUNT)]} | columns
    source = write_table(table, tmp_path / "own.parquet")
    assert ingested(source, new_run()).metadata == ("notes",)
    examples = ingested(source.model_copy(update={"metadata": ["group"]}), new_run())
    assert examples.metadata == ("group",)
    assert {values["group"] for values in metadata(examples, "train")} <= {group.encode() for group in columns["group"]}
    assert refused(source.model_copy(update={"metadata": ["box"]}), new_run()).split("\n") == [
        f"source.metadata names box, which is no column of text or numbers of {source.table}",
        "It has image, label, group, notes, box.",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cam", "evaluate.slices names cam, which is not a column of {table} stored in the records"),
        ("image", "evaluate.slices names image, which is not a column of {table} stored in the records"),
        ("number", "evaluate.slices names number, which has 1,200 values in {table}"),
    ],
)
def test_slices_by_columns_are_checked_while_planning(name, message, tmp_path):
    table = {"image": ["a.png"] * 1200, "label": [0] * 1200, "camera": ["A7"] * 1200, "number": list(range(1200))}
    source = write_table(table, tmp_path / "own.csv")
    plan = functools.partial(source_data.function, source=source, place=place_of(source))
    plan(sliced=["camera"])
    with pytest.raises(ConfigurationError) as error:
        plan(sliced=["camera", name])
    assert error.value.cause == message.format(table=source.table)
