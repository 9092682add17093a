"""collect: converts spans of new images to records, with statistics for each span."""

import functools
import json
from pathlib import Path
from typing import Any

from etils import epy

from components._data import shard_files, shard_statistics
from components.sources import writing
from components.sources.reading import Piece
from components.sources.span import SpanReader
from pipeline.engine.component import StageRun, component
from schemas import disk, files
from schemas.artifacts import UNREADABLE, Arrivals, Collected, Span, Split, write_unreadable
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.source import Unreadable
from schemas.settings.spans import in_order, shown

with epy.lazy_imports():
    import apache_beam as beam

SPLITS = ("train", "validation", "fresh")
BROKEN, COUNTS = "broken.json", "counts.json"
MARK = "mark.json"


@component
def collect(
    arrivals: Arrivals,
    *,
    labels: list[str],
    validation: float,
    fresh: float,
    shard_size: int,
    encoding: Encoding = "raw",
    unreadable: Unreadable,
    run: StageRun,
) -> Collected:
    """Records and statistics of every span; only those that are new are read.

    An image goes to validation or to split `fresh` by a hash of its pixels, so that it is in the same split wherever it
    appears again. Unreadable images of a folder are set aside. A span with more of them than `unreadable` allows, or
    with another fault, is left out, with the reason; the others go on.
    """
    names, before = in_order(arrivals.spans), list(run.previous())
    new = [
        name for name in names if not any(_reused(name, arrivals.spans[name], earlier, run.out) for earlier in before)
    ]
    shares = {"validation": validation, "fresh": fresh}
    tasks: list[tuple[SpanReader, Piece]] = []
    for name in new:
        (run.out / name).mkdir()
        (run.out / name / MARK).write_text(json.dumps(arrivals.spans[name]), encoding="utf-8")
        reader = SpanReader(arrivals.path / name, tuple(labels), shard_size, shares)
        try:
            tasks += [(reader, piece) for piece in reader.pieces()]
        except DataError as error:
            _break(run.out / name, error)
    if tasks:
        write = functools.partial(write_piece, out=run.out, encoding=encoding)
        with run.beam() as pipeline:
            pipeline | beam.Create(tasks) | beam.Reshuffle() | "collect" >> beam.MapTuple(write)
    for name in new:
        _finish_span(run.out / name, unreadable)
    spans = {name: _span(run.out / name, arrivals.dates[name]) for name in names}
    images, aside = (sum(getattr(spans[name], field) for name in new) for field in ("count", "unreadable"))
    counted = f"{len(new):,} new of {len(spans):,} spans, {images:,} images"
    run.log(counted + (f"; {aside:,} unreadable" if aside else ""))
    return Collected(run.out, spans=spans)


def _reused(name: str, mark: str, earlier: Any, out: Path) -> bool:
    """Links the files of an earlier artifact that holds the span unchanged; whether there was one."""
    try:
        same = json.loads((earlier.path / name / MARK).read_text(encoding="utf-8")) == mark
    except (OSError, ValueError):
        return False
    return same and files.link_files(earlier.path, name, out)


def write_piece(reader: SpanReader, piece: Piece, *, out: Path, encoding: Encoding) -> None:
    """Writes a shard of each split and its statistics, or the reason why the span cannot be read.

    Other errors are raised: a full disk is not the span's fault.
    """
    folder = out / reader.folder.name
    try:
        counts = writing.write_piece(piece, out=folder, reader=reader, encoding=encoding)
    except DataError as error:
        _break(folder, error)
        return
    for shard, count in counts.items():
        if count:
            shard_statistics.write_shard_statistics(shard, count, folder / "parts" / shard.stem)


def _break(folder: Path, error: DataError) -> None:
    """The reason, printable: file names may hold any character."""
    (folder / BROKEN).write_text(json.dumps(shown(error.cause)), encoding="utf-8")
    # This may be temporary: without a mark, the span is read again in the next run.
    if isinstance(error.__cause__, OSError | MemoryError):
        (folder / MARK).unlink(missing_ok=True)


def _finish_span(folder: Path, allowed: Unreadable) -> None:
    """Writes the number of records and the unreadable images of a span that was just read, or why it is left out."""
    counts, unreadable = shard_files.take_counts(folder), writing.take_unreadable(folder)
    if not (folder / BROKEN).exists():
        try:
            writing.check_readable(unreadable, sum(counts.values()), "spans.unreadable", allowed)
        except DataError as error:
            _break(folder, error)
    if (folder / BROKEN).exists():
        for path in folder.iterdir():
            if path.name not in (BROKEN, MARK):
                disk.remove(path)
        return
    (folder / COUNTS).write_text(json.dumps(counts), encoding="utf-8")
    write_unreadable(folder, [(shown(file), shown(reason)) for file, reason in unreadable])


def _span(folder: Path, date: str) -> Span:
    """The converted span; of one that cannot be read, only the reason."""
    if (folder / BROKEN).exists():
        return Span(date, broken=_json(folder / BROKEN))
    counts, splits = _json(folder / COUNTS), {}
    for split in SPLITS:
        shards = {shard: count for shard, count in sorted(counts.items()) if shard.startswith(f"{split}-")}
        splits[split] = Split(tuple(shards), tuple(shards.values()))
    return Span(date, splits, unreadable=len(_json(folder / UNREADABLE)) if (folder / UNREADABLE).exists() else 0)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
