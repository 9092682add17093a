"""Damaged shards: every stage that reads them names the shard, the record and the remedy.

The damaged shards are in tests/bad/shards, one fault per file, written by `make.py`.
"""

import dataclasses
import shutil
from pathlib import Path

import pytest

from components.describe import describe
from components.evaluate import evaluate
from components.train import train
from components.transform import transform
from schemas import example, shard_reader
from schemas.artifacts import Examples, Split, Statistics
from schemas.errors import DataError
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from schemas.settings.train import Train
from schemas.settings.transform import Transform
from tests.bad.shards.make import COUNT, boundaries, flipped
from tests.components import pictures
from tests.conftest import configured

BAD = Path(__file__).parent.parent / "bad" / "shards"
CAUSES = {
    "truncated": "ends in the middle of record 4 of 5",
    "cut_between_records": "ends after record 3 of 5",
    "flipped_bit": "is damaged (a checksum does not match) at record 3 of 5",
    "flipped_bit_in_a_length": "is damaged (a checksum does not match) at record 3 of 5",
    "one_too_many": "holds 6 records instead of 5",
    "empty": "ends after record 0 of 5",
    "not_there": "is missing",
}
REMEDY = "Run again with --no-cache."  # outside a store; see test_a_file_of_an_artifact_names_its_stage


@pytest.mark.parametrize("fault", CAUSES)
@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_a_damaged_shard_is_named_with_its_first_unreadable_record(fault, batch):
    path = BAD / f"{fault}.tfrecord"
    with pytest.raises(DataError) as refused:
        list(shard_reader.read(path, COUNT, batch))
    assert refused.value.cause == f"shard {path} {CAUSES[fault]}"
    assert refused.value.remedy == REMEDY


def test_every_damaged_shard_of_the_folder_is_tested():
    assert {path.stem for path in BAD.glob("*.tfrecord")} == CAUSES.keys() - {"not_there"} | {"sound"}


@pytest.mark.parametrize("batch", [1, 2, 5, 1000])
def test_an_intact_shard_is_read_in_batches(batch):
    batches = list(shard_reader.read(BAD / "sound.tfrecord", COUNT, batch))
    assert [len(records) for records in batches] == [min(batch, COUNT - done) for done in range(0, COUNT, batch)]
    parsed = shard_reader.parse([record for records in batches for record in records], BAD)
    assert parsed["label"].tolist() == [0, 1, 2, 3, 4]
    assert parsed["image"].tolist() == [bytes([i]) * 16 for i in range(5)]


def test_numbers_in_messages_have_separators(sample, tmp_path):
    split = sample.splits["train"]
    content = (sample.path / split.shards[0]).read_bytes()
    path = tmp_path / split.shards[0]
    path.write_bytes(content[: boundaries(content)[1999] + 40])
    with pytest.raises(DataError) as refused:
        list(shard_reader.read(path, split.count))
    assert refused.value.cause == f"shard {path} ends in the middle of record 2,000 of {split.count:,}"


def test_a_record_that_is_not_an_example_is_refused(tmp_path):
    path = tmp_path / "train-00000-of-00001.tfrecord"
    with pytest.raises(DataError) as refused:
        shard_reader.parse([b"\xff\xff no protobuf"], path)
    assert refused.value.cause.startswith(f"shard {path} holds a record that does not parse: ")
    assert "\n" not in refused.value.cause
    assert refused.value.remedy.startswith("Run again with --no-cache")


def test_missing_features_are_parsed_as_minus_one_or_empty():
    record = example.encoder("own", "1.0.0", "train")(pictures.pictures(1, seed=1)[0][0], 2, 0)
    parsed = shard_reader.parse(
        [pictures.without_feature(record, "label"), pictures.without_feature(record, "image")], Path("a shard")
    )
    assert parsed["label"].tolist() == [-1, 2]
    assert parsed["image"].tolist()[1] == b""


@pytest.fixture
def damaged(few, tmp_path) -> Examples:
    """`few` with one flipped bit in the second record of train and test."""
    for split in few.splits.values():
        for name in split.shards:
            content = (few.path / name).read_bytes()
            position = boundaries(content)[1] + 200
            (tmp_path / name).write_bytes(content if name.startswith("validation") else flipped(content, position))
    return Examples(tmp_path, splits=few.splits, source=few.source)


def test_describe_names_the_damaged_record(damaged, new_run):
    with pytest.raises(
        DataError, match=r"shard .*-00000-of-00001.tfrecord is damaged \(a checksum does not match\) at record 2 of"
    ):
        describe.function(damaged, run=new_run())


def test_transform_names_the_damaged_record(damaged, verdict, mnist, new_run):
    with pytest.raises(
        DataError,
        match=r"shard .*/train-00000-of-00001.tfrecord is damaged \(a checksum does not match\) at record 2 of",
    ):
        transform.function(damaged, verdict, contract=mnist, settings=Transform(), run=new_run())


def test_evaluate_names_the_damaged_record(damaged, model, mnist, new_run):
    gates = Gates(accuracy=0.5, per_class=0.1)
    options = {"contract": mnist, "gates": gates, "settings": Evaluate(), "transform": Transform()}
    run = new_run()
    statistics = Statistics(run.scratch, counts={})
    with pytest.raises(
        DataError,
        match=r"shard .*/test-00000-of-00001.tfrecord is damaged \(a checksum does not match\) at record 2 of 400",
    ):
        evaluate.function(model, damaged, statistics, None, None, **options, run=run)


def test_a_shard_with_a_different_count_than_its_manifest_is_refused(few, new_run):
    name, count = few.splits["test"].shards[0], few.splits["test"].count
    wrong_count = Examples(few.path, splits=few.splits | {"test": Split((name,), (count + 1,))}, source=few.source)
    with pytest.raises(DataError, match=f"ends after record {count} of {count + 1}"):
        describe.function(wrong_count, run=new_run())


def test_train_names_the_damaged_record_and_the_stage_to_rerun(features, tmp_path, new_run):
    folder = tmp_path / "artifacts" / "transform" / "key"
    shutil.copytree(features.path, folder)
    shard = folder / features.splits["validation"].shards[0]
    content = shard.read_bytes()
    shard.write_bytes(flipped(content, boundaries(content)[1] + 200))
    run = new_run()
    with pytest.raises(DataError) as refused:
        train.function(
            dataclasses.replace(features, path=folder), configured(features, Train(), tmp_path / "tune"), run=run
        )
    assert "is damaged (a checksum does not match) at record 2 of" in refused.value.cause
    assert refused.value.remedy == "Run again with --force transform."
