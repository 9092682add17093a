"""What is counted in one shard, left beside what is made of it: merged, it describes a split, whatever its shards were.

leave(shard, 1000, out)                              # on a worker
write(out, {"train": [out / "train-00000-of-00001"]})  # the driver: stats.tfrecord, leaked.json
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from etils import epy

from components._data import duplicates
from components._data.statistics import ImageStatistics, merged
from schemas import example, statistics

with epy.lazy_imports():
    import numpy as np


def leave(shard: Path, count: int, part: Path) -> None:
    """The statistics of a shard of `count` records in `part`.json, the digests of its images in `part`.npy.

    Raises:
        DataError: the shard is damaged or a record does not parse; names the shard and the record.
    """
    counted, digests = ImageStatistics(), []
    for records in example.read(shard, count):
        columns = example.parse(records, shard)
        counted = counted.merge(ImageStatistics.of(columns))
        digests.append(duplicates.digests(columns["image"].tolist(), columns["source/index"]))
    part.parent.mkdir(parents=True, exist_ok=True)
    part.with_suffix(".json").write_text(counted.to_json())
    duplicates.leave(np.concatenate(digests), part.with_suffix(".npy"))


def read(parts: list[Path]) -> ImageStatistics:
    """The statistics of several parts, as one."""
    return merged(ImageStatistics, (ImageStatistics.from_json(part.with_suffix(".json").read_text()) for part in parts))


def write(out: Path, splits: Mapping[str, list[Path]]) -> dict[str, int]:
    """Leaves `stats.tfrecord`, the splits in their order, and `leaked.json`; gives the number of records in each split."""
    described = {split: read(parts) for split, parts in splits.items()}
    found = duplicates.duplicates(
        {split: [part.with_suffix(".npy") for part in parts] for split, parts in splits.items()}
    )
    across = {split: Counter({b: n for (a, b), n in found.across.items() if a == split}) for split in splits}
    statistics.write(
        out / "stats.tfrecord", [statistics.encode(s, described[s], found.within[s], across[s]) for s in splits]
    )
    for split in duplicates.TESTED:
        if split in splits:
            name = "leaked.json" if split == "test" else f"leaked-{split}.json"
            (out / name).write_text(json.dumps(sorted(index for s, index in found.leaked if s == split)))
    return {split: each.records for split, each in described.items()}
