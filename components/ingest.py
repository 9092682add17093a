"""ingest: writes a dataset as sharded TFRecords of images."""

import functools
from pathlib import Path

from etils import epy

from components._data import shard_files
from components._data.reuse import Reuse
from components.sources import open_source
from components.sources.fingerprint import Digests
from components.sources.reading import Piece, Place, Reader
from components.sources.states import states
from components.sources.writing import check_readable, shard_name, take_unreadable, write_piece
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
    digests: Unkeyed[Path | None] = None,
    encoding: Encoding | None = "raw",
    labels: list[str] | None = None,
    run: StageRun,
) -> Examples:
    """Labelled images in three splits: train, validation and test. Records hold raw pixels, or the images as delivered.

    A Beam pipeline over pieces of the source. Each piece becomes one shard of each split that it feeds, in the order of
    the source, so the same dataset gives the same bytes. Where a source does not deliver a split, images are assigned
    by a hash of their pixels. Of files, only pieces that changed since an earlier run are read; `pieces.json` lists
    them, and `digests` keeps the files' digests between runs. `data` is the state of the dataset while planning; the
    source is prepared here if necessary. `encoding`: how images are recorded; None for what suits the source.
    `labels`: the names of the contract, for sources that deliver names.

    Raises:
        DataError: there is no such dataset or split, a split would be empty, or too many images are unreadable.
        EnvironmentFailure: the network or the disk failed.
    """
    del data  # part of the cache key: the files that the source reads
    reader = open_source(source, place, tuple(labels or ()))
    reader.prepare(run.log)
    pieces = reader.pieces()
    counts, unreadable = _written(reader, pieces, digests, encoding or reader.encoding, run)
    splits = _splits(pieces, counts)
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


def _written(
    reader: Reader, pieces: list[Piece], digests: Path | None, encoding: Encoding, run: StageRun
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Records by shard, and what is unreadable, once each piece is written, or linked from an earlier artifact."""
    kept = Digests(digests)
    before = states(reader, pieces, kept)
    reuse = Reuse(run, "pieces.json")
    facts = {piece: linked for piece, state in before.items() if (linked := reuse.link(state))}
    changed = [piece for piece in pieces if piece not in facts]
    if changed:
        write = functools.partial(write_piece, out=run.out, reader=reader, encoding=encoding)
        with run.beam() as pipeline:
            pipeline | beam.Create(changed) | beam.Reshuffle() | "write" >> beam.Map(write)
    counts = shard_files.take_counts(run.out)
    after = states(reader, changed, kept) if before else {}
    for piece in changed:
        shards = {shard: counts[shard] for shard in (shard_name(piece, split) for split in piece.splits)}
        facts[piece] = {"counts": shards, "unreadable": take_unreadable(run.out, piece)}
        if piece in after and after[piece] == before[piece]:  # otherwise, a file was changed while it was read
            reuse.add(after[piece], shards, facts[piece])
    if before:
        reuse.write()
    if reuse.linked:
        run.log(reuse.message("pieces"))
    each = [facts[piece] for piece in pieces]
    unreadable = sorted((file, reason) for fact in each for file, reason in fact["unreadable"])
    return {shard: count for fact in each for shard, count in fact["counts"].items()}, unreadable


def _splits(pieces: list[Piece], counts: dict[str, int]) -> dict[str, Split]:
    """The shards of each split, in the order of the pieces."""
    splits = {}
    for split in ("train", "validation", "test"):
        if shards := [shard_name(piece, split) for piece in pieces if split in piece.splits]:
            splits[split] = Split(tuple(shards), tuple(counts[shard] for shard in shards))
    return splits
