"""ingest: writes a dataset as sharded TFRecords of images."""

import bisect
import functools
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from etils import epy

from components._data import shard_files
from components._data.images import image_hash
from components.sources import open_source
from components.sources.reading import Batch, Piece, Place, Reader
from pipeline.engine.component import StageRun, Unkeyed, component
from schemas import example, files
from schemas.artifacts import Examples, SourceData, Split
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.source import Files, SourceSettings, Unreadable

with epy.lazy_imports():
    import apache_beam as beam
    import numpy as np

UNREADABLE = "unreadable-{}-{}.json"  # of one piece: what could not be read


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
    write = functools.partial(write_piece, out=str(run.out), reader=reader, encoding=encoding or reader.encoding)
    with run.beam() as pipeline:
        pipeline | beam.Create(pieces) | beam.Reshuffle() | "write" >> beam.Map(write)
    splits = _splits(shard_files.take_counts(run.out))
    unreadable = _unreadable(run.out)
    if isinstance(source, Files):
        _check_readable(unreadable, sum(split.count for split in splits.values()), source.unreadable)
    for split in ("train", "validation", "test"):
        if split not in splits or not splits[split].count:
            remedy = "Check source.train, source.test and source.validation."
            if isinstance(source, Files):
                remedy = "Add images, or check source.test and source.validation."
            raise DataError(f"split {split} of {source.title} is empty", remedy)
    counted = ", ".join(f"{split.count:,} {name}" for name, split in splits.items())
    run.log(counted + (f"; {len(unreadable):,} unreadable" if unreadable else ""))
    Examples.write_unreadable(run.out, unreadable)
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


def _unreadable(out: Path) -> list[tuple[str, str]]:
    """(file, reason) of all pieces, sorted. Removes the pieces' own files."""
    found: list[tuple[str, str]] = []
    for path in out.glob(UNREADABLE.format("*", "*")):
        found += [(file, reason) for file, reason in json.loads(path.read_text(encoding="utf-8"))]
        path.unlink()
    return sorted(found)


def _check_readable(unreadable: list[tuple[str, str]], readable: int, settings: Unreadable) -> None:
    share = len(unreadable) / max(1, readable + len(unreadable))
    if not unreadable or (settings.then == "set_aside" and share <= settings.at_most):
        return
    others = f", and {len(unreadable) - 1:,} more" if len(unreadable) > 1 else ""
    allowed = f"{settings.at_most:.1%}" if settings.then == "set_aside" else "none"
    limit = f"source.unreadable allows {allowed}"
    cause = f"{len(unreadable):,} images ({share:.1%}) cannot be read; {limit}: {unreadable[0][1]}{others}"
    raise DataError(cause, "Fix or remove them, or change source.unreadable.")


def write_piece(piece: Piece, *, out: str, reader: Reader, encoding: Encoding) -> None:
    """Writes a shard of each split that the piece feeds, and the images that cannot be read."""
    targets = [split for split in ("test", "validation", "train") if split in piece.splits]
    shards = [shard_files.name(target, piece.index, piece.count) for target in targets]
    bounds = _bounds(targets, reader)
    counts = [0] * len(targets)
    encode = example.encoder(*reader.names, piece.of, reader.metadata)
    unreadable: list[tuple[str, str]] = []
    with ExitStack() as stack:
        write = [stack.enter_context(shard_files.writer(Path(out) / shard)).write for shard in shards]
        for batch in reader.read(piece, encoding):
            unreadable += batch.unreadable
            drawn_by = _drawn_by(batch) if bounds else itertools.repeat(0)
            positions = itertools.count(piece.first + sum(counts))
            metadata = batch.metadata or itertools.repeat(())
            records = map(encode, batch.images, batch.labels, positions, batch.contents, metadata)
            for record, drawn in zip(records, drawn_by, strict=False):
                target = bisect.bisect_right(bounds, drawn)
                write[target](record)
                counts[target] += 1
    for shard, count in zip(shards, counts, strict=True):
        shard_files.write_count(Path(out) / shard, count)
    if unreadable:
        files.atomic_write_text(Path(out) / UNREADABLE.format(piece.of, piece.index), json.dumps(unreadable))


def _drawn_by(batch: Batch) -> Iterator[int]:
    """64 bits that an image's split is drawn by: a hash of its group, or of its pixels."""
    groups = batch.groups or itertools.repeat("")
    for image, group in zip(batch.images, groups, strict=False):
        yield image_hash(np.frombuffer(group.encode(), np.uint8) if group else image)


def _bounds(targets: Sequence[str], reader: Reader) -> list[float]:
    """For all targets but the last, the hash below which an image goes to it."""
    shares = {"test": reader.test, "validation": reader.validation}
    bounds: list[float] = []
    taken = 0.0
    for target in targets[:-1]:
        taken += (1 - taken) * shares[target]
        bounds.append(taken * 2**64)
    return bounds
