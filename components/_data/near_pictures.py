"""Pictures of near copies for the report: both images of a pair, read from their records.

write(run, {("test", 4, "train", 7): (test_part, train_part)}, {test_part: (shard, 1000), ...})
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etils import epy

from components._data import near_copies
from components._data.decoding import fitted, to_arrays
from components._data.near_copies import Pair
from pipeline.engine.component import StageRun
from schemas import disk, shard_reader
from schemas.artifacts import NearCopy, Statistics
from schemas.model_input import ModelInput

with epy.lazy_imports():
    import apache_beam as beam
    import numpy as np

SHOWN = 24  # pairs: as many as one person reviews
PICTURE = ModelInput((128, 128, 3), fit="stretch")  # shown in the image's own aspect ratio


def write(run: StageRun, pairs: Mapping[Pair, tuple[Path, Path]], shards: Mapping[Path, tuple[Path, int]]) -> None:
    """Writes the pictures of the first pairs. `shards`: by part, its shard and the number of its records.

    Workers read the shards: a shard may be large, and holds few of the images.
    """
    shown = list(pairs.items())[:SHOWN]
    places = [place for (_, i, _, j), (one, other) in shown for place in ((one, i), (other, j))]
    folder, parts = run.out / "pictures", list(dict.fromkeys(part for part, _ in places))
    folder.mkdir()
    tasks = [
        (*shards[part], [position for each, position in places if each == part], str(folder / f"{number}.npz"))
        for number, part in enumerate(parts)
    ]
    with run.beam() as pipeline:
        pipeline | beam.Create(tasks) | beam.Reshuffle() | "pictures" >> beam.MapTuple(write_pictures)
    by_place: dict[tuple[Path, int], tuple[Any, Any]] = {}
    for number, part in enumerate(parts):
        with np.load(folder / f"{number}.npz") as saved:
            rows = zip(saved["facts"].tolist(), saved["pictures"], strict=True)
            by_place |= {(part, facts[0]): (facts, picture) for facts, picture in rows}
    disk.remove(folder)
    sides = [
        NearCopy(split, *by_place[place][0])
        for place, split in zip(places, (split for pair, _ in shown for split in pair[::2]), strict=True)
    ]
    pictured = list(zip(sides[::2], sides[1::2], strict=True))
    Statistics.write_near_pictures(run.out, pictured, np.stack([by_place[place][1] for place in places]))


def write_pictures(shard: Path, count: int, positions: list[int], path: str) -> None:
    """Writes position, label, height, width and picture of some images of a shard.

    Raises:
        DataError: the shard is damaged or a record does not parse; names the shard and the record.
    """
    facts, pictures = [], []
    for records in shard_reader.read(shard, count):
        columns = shard_reader.parse(records, shard)
        chosen = np.isin(columns["source/index"], positions)
        if chosen.any():
            names = ("source/index", "label", "image/height", "image/width")
            facts.append(np.stack([columns[name][chosen] for name in names], axis=1))
            raw = near_copies.large_raw({name: column[chosen] for name, column in columns.items()})
            is_raw = not columns["image/format"].any()
            pictures.append(
                np.asarray(fitted(raw, PICTURE)) if is_raw else to_arrays(columns["image"][chosen], PICTURE)
            )
    np.savez(path, facts=np.concatenate(facts), pictures=np.concatenate(pictures))
