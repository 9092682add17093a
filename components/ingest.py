"""ingest: writes a dataset as sharded TFRecords of images."""

import functools
from collections import defaultdict

from etils import epy

from components._data import shard_files
from components.sources import open_source
from components.sources.reading import Place
from components.sources.writing import check_readable, take_unreadable, write_piece
from pipeline.engine.component import StageRun, Unkeyed, component
from schemas import files
from schemas.artifacts import Examples, SourceData, Split, write_unreadable
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.source import Files, SourceSettings

with epy.lazy_imports():
    import apache_beam as beam


@component(completes="data")
def ingest(
    data: SourceData,
    *,
    source: SourceSettings,
    place: Unkeyed[Place],
    encoding: Encoding | None = "raw",
    labels: list[str] | None = None,
    run: StageRun,
) -> Examples:
    """Labelled images in three splits: train, validation and test. Records hold raw pixels, or the images as delivered.

    A Beam pipeline over pieces of the source. Each piece becomes one shard of each split that it feeds, in the order of
    the source, so the same dataset gives the same bytes. Where a source does not deliver a split, images are assigned
    by a hash of their pixels. `data` is the state of the dataset while planning; the source is prepared here if
    necessary. `encoding`: how images are recorded; None for what suits the source. `labels`: the names of the contract,
    for sources that deliver names.

    Raises:
        DataError: there is no such dataset or split, a split would be empty, or too many images are unreadable.
        EnvironmentFailure: the network or the disk failed.
    """
    del data  # part of the cache key: the files that the source reads
    reader = open_source(source, place, tuple(labels or ()))
    reader.prepare(run.log)
    pieces = reader.pieces()
    write = functools.partial(write_piece, out=run.out, reader=reader, encoding=encoding or reader.encoding)
    with run.beam() as pipeline:
        pipeline | beam.Create(pieces) | beam.Reshuffle() | "write" >> beam.Map(write)
    splits = _splits(shard_files.take_counts(run.out))
    unreadable = take_unreadable(run.out)
    readable = sum(split.count for split in splits.values())
    check_readable(unreadable, readable, "source.unreadable", source.unreadable)
    for split in ("train", "validation", "test"):
        if split not in splits or not splits[split].count:
            remedy = "Check source.train, source.test and source.validation."
            if isinstance(source, Files):
                remedy = "Add images, or check source.test and source.validation."
            raise DataError(f"split {split} of {source.title} is empty", remedy)
    counted = ", ".join(f"{split.count:,} {name}" for name, split in splits.items())
    run.log(counted + (f"; {len(unreadable):,} unreadable" if unreadable else ""))
    write_unreadable(run.out, unreadable)
    test = files.digest(files.listing(run.out, "test-*"))
    return Examples(
        run.out, splits=splits, source=reader.title, test=test, unreadable=len(unreadable), metadata=reader.metadata
    )


def _splits(counts: dict[str, int]) -> dict[str, Split]:
    shards: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for shard, count in counts.items():
        shards[shard.split("-")[0]].append((shard, count))
    order = [name for name in ("train", "validation", "test") if name in shards]
    return {name: Split(*map(tuple, zip(*shards[name], strict=True))) for name in order}
