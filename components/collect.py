"""collect: converts spans of new images to records, with statistics for each span."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from etils import epy

from components._data import shard_files, shard_statistics
from components._data.images import image_hash
from components.sources import labelled
from pipeline.engine.component import StageRun, component
from schemas import example, files
from schemas.artifacts import Arrivals, Collected, Span, Split
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.spans import in_order, shown

with epy.lazy_imports():
    import apache_beam as beam

SPLITS = ("train", "validation", "fresh")
BROKEN = "broken.json"
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
    run: StageRun,
) -> Collected:
    """Records and statistics of every span; only those that are new are read.

    An image goes to validation or to split `fresh` by a hash of its pixels, so that it is in the same split wherever it
    appears again. An unreadable span is left out, with the reason; the others go on.
    """
    names, before = in_order(arrivals.spans), list(run.previous())
    new = [
        name for name in names if not any(_taken(name, arrivals.spans[name], earlier, run.out) for earlier in before)
    ]
    bounds = (validation * 2**64, (validation + (1 - validation) * fresh) * 2**64)
    tasks: list[dict[str, Any]] = []
    for name in new:
        (run.out / name).mkdir()
        (run.out / name / MARK).write_text(json.dumps(arrivals.spans[name]), encoding="utf-8")
        try:
            pieces = labelled.pieces(arrivals.path / name, labels, shard_size)
        except DataError as error:
            _break(run.out / name, error)
            continue
        tasks += [{"span": name, "piece": piece, "index": i, "pieces": len(pieces)} for i, piece in enumerate(pieces)]
    if tasks:
        with run.beam() as pipeline:
            (
                pipeline
                | beam.Create(tasks)
                | beam.Reshuffle()
                | "collect" >> beam.Map(write_piece, str(run.out), bounds, encoding)
            )
    spans = {name: _span(run.out / name, arrivals.dates[name]) for name in names}
    images = sum(split.count for name in new for split in spans[name].splits.values())
    run.log(f"{len(new):,} new of {len(spans):,} spans, {images:,} images")
    return Collected(run.out, spans=spans)


def _taken(name: str, mark: str, earlier: Any, out: Path) -> bool:
    """Links the files of an earlier artifact that holds the span unchanged; whether there was one."""
    try:
        same = json.loads((earlier.path / name / MARK).read_text(encoding="utf-8")) == mark
    except (OSError, ValueError):
        return False
    return same and files.lend(earlier.path, name, out)


def write_piece(task: dict[str, Any], out: str, bounds: tuple[float, float], encoding: Encoding) -> None:
    """Writes a shard of each split and its statistics, or the reason why the span is unreadable.

    Other errors are raised: a full disk is not the span's fault.
    """
    folder = Path(out) / task["span"]
    shards = [folder / shard_files.name(split, task["index"], task["pieces"]) for split in SPLITS]
    try:
        counts = _write(task, shards, bounds, encoding)
    except DataError as error:
        _break(folder, error)
        return
    for shard, count in zip(shards, counts, strict=True):
        if count:
            shard_statistics.write_shard_statistics(shard, count, folder / "parts" / shard.stem)
        shard_files.write_count(shard, count)


def _write(task: dict[str, Any], shards: list[Path], bounds: tuple[float, float], encoding: Encoding) -> list[int]:
    """The number of records in each shard."""
    encode = example.encoder("spans", task["span"], "span")
    counts = [0, 0, 0]
    first = task["index"] * 2**32  # positions within a span, in the order of its pieces
    with ExitStack() as stack:
        writers = [stack.enter_context(shard_files.writer(shard)) for shard in shards]
        for index, (image, label, content) in enumerate(labelled.read(task["piece"], encoding), first):
            number = image_hash(image)
            split = 1 if number < bounds[0] else 2 if number < bounds[1] else 0
            writers[split].write(encode(image, label, index, content))
            counts[split] += 1
    return counts


def _break(folder: Path, error: DataError) -> None:
    """The reason, printable: file names may hold any character."""
    (folder / BROKEN).write_text(json.dumps(shown(error.cause)), encoding="utf-8")
    if isinstance(
        error.__cause__, OSError | MemoryError
    ):  # this may be temporary: without a mark, the span is read again in the next run
        (folder / MARK).unlink(missing_ok=True)


def _span(folder: Path, date: str) -> Span:
    """The converted span; of one that cannot be read, only the reason is kept."""
    counted = folder / "counts.json"
    if (folder / BROKEN).exists():
        for path in folder.iterdir():
            if path.name not in (BROKEN, MARK):
                files.remove(path)
        return Span(date, broken=json.loads((folder / BROKEN).read_text(encoding="utf-8")))
    if not counted.exists():  # of a span that was just read
        counted.write_text(json.dumps(shard_files.take_counts(folder)), encoding="utf-8")
    counts = json.loads(counted.read_text(encoding="utf-8"))
    splits = {}
    for split in SPLITS:
        mine = {shard: count for shard, count in sorted(counts.items()) if shard.startswith(f"{split}-")}
        splits[split] = Split(tuple(mine), tuple(mine.values()))
    return Span(date, splits)
