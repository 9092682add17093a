"""describe: statistics of every split, in one Beam pass."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

from components._statistics import Duplicates, ImageStatistics, merged
from pipeline.component import Run, component
from schemas import example, statistics
from schemas.artifacts import Examples, Statistics

with epy.lazy_imports():
    import apache_beam as beam

BUCKET = 50_000  # images whose digests one worker holds at a time, while it looks for duplicates


@component
def describe(examples: Examples, *, run: Run) -> Statistics:
    """Statistics of images and labels per split, and duplicates within and across splits.

    Leaves `stats.tfrecord`: one `DatasetFeatureStatisticsList` with a data set per split, readable by TFDV and Facets; and
    `leaked.json`, the test images that also stand in another split.

    Raises:
        DataError: a shard is damaged or a record does not parse; names the shard and the record.
    """
    total = sum(split.count for split in examples.splits.values())
    with run.beam() as pipeline:
        shards = [(split, str(path), count) for split, path, count in examples.shards()]
        batches = pipeline | beam.Create(shards) | beam.Reshuffle() | "read" >> beam.FlatMap(read)
        described = (
            batches
            | "describe" >> beam.MapTuple(lambda split, columns: (split, ImageStatistics.of(columns)))
            | "merge" >> beam.CombinePerKey(functools.partial(merged, ImageStatistics))
        )
        duplicates = (
            batches
            | "digest" >> beam.FlatMap(digests, buckets=-(-total // BUCKET))
            | "gather copies" >> beam.GroupByKey()
            | "count copies" >> beam.MapTuple(copies)
            | "merge copies" >> beam.CombineGlobally(functools.partial(merged, Duplicates))
        )
        one = pipeline | "one" >> beam.Create([str(run.out)])
        one | "write" >> beam.Map(write, beam.pvalue.AsDict(described), beam.pvalue.AsSingleton(duplicates), list(examples.splits))
    return Statistics(run.out, counts={name: split.count for name, split in examples.splits.items()})


def read(shard: tuple[str, str, int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(split, columns) of each batch of one shard."""
    split, path, count = shard
    for records in example.read(Path(path), count):
        yield split, example.parse(records, Path(path))


def digests(batch: tuple[str, dict[str, Any]], buckets: int) -> Iterator[tuple[int, tuple[str, list[tuple[bytes, int]]]]]:
    """The images' digests and positions, by bucket: all copies of an image meet in one, and no bucket grows with the data."""
    split, columns = batch
    found: dict[int, list[tuple[bytes, int]]] = {}
    for image, index in zip(columns["image"].tolist(), columns["source/index"].tolist(), strict=True):
        digest = hashlib.blake2b(image, digest_size=16).digest()
        found.setdefault(int.from_bytes(digest[:4]) % buckets, []).append((digest, index))
    for bucket, members in found.items():
        yield bucket, (split, members)


def copies(_bucket: int, groups: Any) -> Duplicates:
    return Duplicates.of((digest, split, index) for split, members in groups for digest, index in members)


def write(out: str, described: dict[str, ImageStatistics], duplicates: Duplicates, splits: list[str]) -> None:
    """`stats.tfrecord`, the splits in their order, and `leaked.json`."""
    across = {split: Counter({b: n for (a, b), n in duplicates.across.items() if a == split}) for split in splits}
    found = [statistics.encode(split, described[split], duplicates.within[split], across[split]) for split in splits]
    statistics.write(Path(out) / "stats.tfrecord", found)
    (Path(out) / "leaked.json").write_text(json.dumps(sorted(duplicates.leaked)))
