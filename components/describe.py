"""describe: statistics of every split, in one Beam pass."""

from pathlib import Path

from etils import epy

from components._data import shard_statistics
from components._data.reuse import Reuse, shard_digests
from pipeline.engine.component import StageRun, component
from schemas.artifacts import Examples, Statistics

with epy.lazy_imports():
    import apache_beam as beam


@component
def describe(examples: Examples, *, run: StageRun) -> Statistics:
    """Statistics of images and labels per split, and duplicates within and across splits.

    Files: `stats.tfrecord`, one `DatasetFeatureStatisticsList` with a dataset per split, readable by TFDV and Facets;
    `leaked.json`, the test images that are also in another split; near copies, with pictures for the report; and in
    `parts/` the statistics of each shard, listed in `parts.json`. Those of shards that an earlier run described are
    linked.

    Raises:
        DataError: a shard is damaged or a record does not parse; names the shard and the record.
    """
    shards = list(examples.shards())
    # Metadata columns are named by the data alone: which ones are described is part of what statistics depend on.
    digests = {
        name: f"{digest} {' '.join(map(repr, examples.metadata))}".strip()
        for name, digest in shard_digests(examples).items()
    }
    reuse = Reuse(run, "parts.json")
    changed = [(path, count) for _, path, count in shards if reuse.link(digests[path.name]) is None]
    if changed:
        with run.beam() as pipeline:
            names = examples.metadata
            tasks = [(str(path), count, str(run.out / "parts" / path.stem), names) for path, count in changed]
            pipeline | beam.Create(tasks) | beam.Reshuffle() | "count" >> beam.MapTuple(describe_shard)
    for path, _ in changed:
        reuse.add(digests[path.name], shard_statistics.files_of(run.out, path.stem))
    reuse.write()
    if reuse.linked:
        run.log(reuse.message("shards"))
    parts = {
        split: {run.out / "parts" / path.stem: (path, count) for s, path, count in shards if s == split}
        for split in examples.splits
    }
    return Statistics(run.out, counts=shard_statistics.write(run, parts))


def describe_shard(shard: str, count: int, part: str, metadata: tuple[str, ...]) -> None:
    shard_statistics.write_shard_statistics(Path(shard), count, Path(part), metadata)
