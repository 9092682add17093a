"""Statistics per shard. Merged, they describe a split, however it was cut into shards.

write_shard_statistics(shard, 1000, out)               # on a worker
write(run, {"train": {part: (shard, 1000)}})           # the driver: stats.tfrecord, leaked.json, near.json, pictures
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from etils import epy

from components._data import decoding, duplicates, near_copies, near_pictures
from components._data.statistics import ImageStatistics, merged
from pipeline.engine.component import StageRun
from schemas import shard_reader, statistics
from schemas.artifacts import Statistics
from schemas.model_input import ModelInput

with epy.lazy_imports():
    import numpy as np

NEAR = ".near.npy"
THUMBNAIL = ModelInput((64, 64, 3), fit="stretch")


def write_shard_statistics(shard: Path, count: int, part: Path, metadata: tuple[str, ...] = ()) -> None:
    """Writes the statistics of a shard of `count` records to `part`.json, the digests of its images to `part`.npy.

    Of all but small images, also the hashes by which near copies are found, to `part`.near.npy.

    Raises:
        DataError: the shard is damaged or a record does not parse; names the shard and the record.
    """
    digests: list[np.ndarray] = []
    near: list[np.ndarray] = []

    def counted(records: list[bytes]) -> ImageStatistics:
        columns = shard_reader.parse(records, shard, metadata)
        positions = columns["source/index"]
        decoded = decoding.thumbnails(columns["image"], THUMBNAIL) if columns["image/format"].any() else None
        images = [*map(np.ndarray.tobytes, decoded[0])] if decoded else columns["image"]
        digests.append(duplicates.digests(images, positions))
        pictures = decoded[0] if decoded else near_copies.large_raw(columns)
        if pictures is not None:
            near.append(near_copies.hashes(pictures, positions, digests[-1][:, 0]))
        return ImageStatistics.of(columns, decoded)

    whole = merged(ImageStatistics, map(counted, shard_reader.read(shard, count)))
    part.parent.mkdir(exist_ok=True)  # not its parents: a stage that was interrupted has removed them
    part.with_suffix(".json").write_text(whole.to_json(), encoding="utf-8")
    duplicates.save(np.concatenate(digests), part.with_suffix(".npy"))
    if near:
        np.save(part.with_suffix(NEAR), np.concatenate(near))


def files_of(out: Path, shard: str) -> list[str]:
    """The files with the statistics of a shard, relative to the artifact."""
    parts = [Path("parts", f"{shard}{suffix}") for suffix in (".json", ".npy", NEAR)]
    return [str(part) for part in parts if (out / part).exists()]


def read(parts: Iterable[Path]) -> ImageStatistics:
    """The merged statistics of several shards."""
    texts = (part.with_suffix(".json").read_text(encoding="utf-8") for part in parts)
    return merged(ImageStatistics, map(ImageStatistics.from_json, texts))


def write(run: StageRun, splits: Mapping[str, Mapping[Path, tuple[Path, int]]]) -> dict[str, int]:
    """Writes `stats.tfrecord`, `leaked.json` and, if there are near copies, `near.json` and pictures of some.

    `splits`: by split, its parts, each with its shard and the number of its records. Returns records by split.
    """
    out, described = run.out, {split: read(parts) for split, parts in splits.items()}
    copies = duplicates.duplicates(
        {split: [part.with_suffix(".npy") for part in parts] for split, parts in splits.items()}
    )
    hashed = {part.with_suffix(NEAR): shard for parts in splits.values() for part, shard in parts.items()}
    pairs = near_copies.found({split: [part.with_suffix(NEAR) for part in parts] for split, parts in splits.items()})
    leaked = copies.leaked | duplicates.leaked(pairs)
    near = {pair: parts for pair, parts in pairs.items() if not copies.leaked & {pair[:2], pair[2:]}}
    statistics.write(
        out / "stats.tfrecord",
        [
            statistics.encode(s, described[s], copies.within[s], _others(copies.across, s), near_copies.counts(near, s))
            for s in splits
        ],
    )
    for split in duplicates.TESTED:
        if split in splits:
            Statistics.write_leaked(out, split, (index for s, index in leaked if s == split))
    if near:
        Statistics.write_near_copies(out, list(near))
        near_pictures.write(run, near, hashed)
    return {split: each.records for split, each in described.items()}


def _others(across: Counter[tuple[str, str]], split: str) -> Counter[str]:
    """Images of a split that are also in each other split."""
    return Counter({other: count for (one, other), count in across.items() if one == split})
