"""mix: the base dataset and the admitted spans in the window become one dataset."""

import datetime
from collections.abc import Iterator
from pathlib import Path

from etils import epy

from components._data import shard_files, shard_statistics
from components._data.images import image_hash
from pipeline.engine.component import StageRun, component
from schemas import disk, shard_reader
from schemas.artifacts import Admission, Collected, Examples, Mixture, Split, Statistics
from schemas.errors import ConfigurationError
from schemas.settings.spans import Window, in_order

with epy.lazy_imports():
    import numpy as np


@component
def mix(
    examples: Examples,
    statistics: Statistics,
    spans: Collected,
    admission: Admission,
    *,
    window: Window,
    weight: float,
    base_weight: float,
    run: StageRun,
) -> Mixture:
    """Train and validation of the base dataset and of the spans in the window, the base's test split, and `fresh` of
    the newest span. Records are linked, not copied; statistics are merged, not computed again.

    Raises:
        ConfigurationError: the window names a span that does not exist.
    """
    admission.require_passed("mix")
    chosen = _in_window(window, in_order(admission.admitted), spans)
    if admission.admitted and not chosen:
        run.log(f"warning: spans.window leaves none of {len(admission.admitted):,} admitted spans to train on")
    newest = next((name for name in reversed(chosen) if spans.spans[name].splits["fresh"].count), "")
    mixed: dict[str, list[tuple[str, int]]] = {"train": [], "validation": [], "test": []}
    parts = {
        split: {
            statistics.path / "parts" / Path(shard).stem: (examples.path / shard, count)
            for shard, count in _counted(examples.splits[split])
        }
        for split in mixed
    }
    for split in mixed:
        for shard, count in _counted(examples.splits[split]):
            disk.link(examples.path / shard, run.out / shard)
            mixed[split] += _weighted(run.out / shard, count, base_weight if split == "train" else 1.0)
    for name in chosen:
        for split in ("train", "validation", "fresh"):
            shards = spans.spans[name].splits[split]
            target = "fresh" if name == newest and split == "fresh" else "train" if split == "fresh" else split
            parts.setdefault(target, {}).update(spans.parts(name, split))
            for shard, count in _counted(shards):
                here = run.out / f"{target}-{name}-{shard}"
                disk.link(spans.path / name / shard, here)
                mixed.setdefault(target, []).extend(_weighted(here, count, weight if target == "train" else 1.0))
    counts = shard_statistics.write(run, parts)
    splits = {split: Split(*map(tuple, zip(*shards, strict=True))) for split, shards in mixed.items()}
    run.log(
        f"{len(chosen):,} of {len(spans.spans):,} spans: "
        + ", ".join(f"{count:,} {split}" for split, count in counts.items())
    )
    source = examples.source + (f" and {len(chosen):,} span{'s' if len(chosen) > 1 else ''}" if chosen else "")
    return Mixture(
        run.out,
        splits=splits,
        source=source,
        test=examples.test,
        metadata=examples.metadata,
        counts=counts,
        spans=tuple(chosen),
        fresh=newest,
    )


def _in_window(window: Window, admitted: list[str], spans: Collected) -> list[str]:
    if window.only is not None:
        if unknown := sorted(set(window.only) - spans.spans.keys()):
            cause = f"spans.window.only names {unknown[0]}, but there is no such span"
            raise ConfigurationError(cause, f"There are {', '.join(in_order(spans.spans)) or 'none'}.")
        return [name for name in admitted if name in window.only]
    if window.days is not None and admitted:
        dates = {name: datetime.date.fromisoformat(spans.spans[name].date) for name in admitted}
        newest = max(dates.values())  # of those admitted: a mistyped date on a span that is kept out moves no window
        return [name for name in admitted if (newest - dates[name]).days < window.days]
    return admitted[-window.last :] if window.last else admitted


def _counted(split: Split) -> Iterator[tuple[str, int]]:
    """The shards that have records."""
    return ((shard, count) for shard, count in zip(split.shards, split.counts, strict=True) if count)


def _weighted(shard: Path, count: int, weight: float) -> list[tuple[str, int]]:
    """A shard, listed `weight` times; for the remaining fraction, records chosen by a hash of their pixels."""
    times, rest = int(weight), weight - int(weight)
    shards = [(shard.name, count)] * times
    if rest > 1e-9:
        part = shard.with_name(f"{shard.stem}-part.tfrecord")
        kept = 0
        with shard_files.writer(part) as writer:
            for records in shard_reader.read(shard, count):
                images = shard_reader.parse(records, shard)["image"].tolist()
                for record, image in zip(records, images, strict=True):
                    if image_hash(np.frombuffer(image, np.uint8)) % 2**32 < rest * 2**32:
                        writer.write(record)
                        kept += 1
        shards += [(part.name, kept)] if kept else []
    if not times:
        shard.unlink()
    return shards
