"""Drafts a data contract from statistics. A person must review the limits, which are inferred from the sample."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from etils import epy

from components.describe import describe
from components.ingest import ingest
from components.resolvers.source_data import source_data
from components.sources import open_source
from components.sources.files import FilesReader
from components.sources.reading import SMALL, Batch, place_of
from pipeline.config import Config
from pipeline.engine.component import Node
from pipeline.engine.plan import Planner, Rerun
from pipeline.lineage.states import RunState
from pipeline.notify import Notify
from pipeline.runs.context import Request, RunContext, RunOptions
from pipeline.store import Store
from schemas import disk, example, places
from schemas import statistics as stats
from schemas.artifacts import Statistics
from schemas.contract import DRAFT, Encoding, label_title, unused_tag
from schemas.errors import ConfigurationError
from schemas.settings.source import SourceSettings

SIDES = ("height", "width", "channels")
# Of encoded images. What the sample lacks is decoded, too: one grey photo or one WebP does not make new data wrong.
CHANNELS, FORMATS = (1, 4), example.DECODED

with epy.lazy_imports():
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2 as pb


def write(config: Config, options: RunOptions, path: Path) -> tuple[str, ...]:
    """Ingests and describes the dataset, and writes a draft of its contract. Returns the classes that never occur.

    Raises:
        ConfigurationError: the file exists, or its folder does not exist.
        DataError: the dataset does not exist.
    """
    check(path)
    source = config.source
    with described(source, options, "schema infer", config.notify) as (_, statistics):
        head = f"{DRAFT}: inferred from the train split of {source.title}. Read it, correct it, remove this line.\n\n"
        names = open_source(source, place_of(source)).labels()
        splits = statistics.by_split()
        save(path, head + text(splits, names))
        return unused(splits, names)


@contextlib.contextmanager
def described(
    source: SourceSettings, options: RunOptions, command: str, notify: list[Notify]
) -> Iterator[tuple[RunContext, Statistics]]:
    """Runs ingest and describe. Yields the run and the statistics. The run ends as drafted after the `with` block."""
    data = source_data(source=source, place=place_of(source), digests=options.digests)

    def line(**drafted: Any) -> Node:
        return describe(examples=ingest(data=data, source=source, place=place_of(source), **drafted))

    store = Store(options.root)
    stages = Planner.of(store, Rerun(), line(encoding=None)).order
    with RunContext.begin(options, store, Request(f"{command} {source.title}", command, stages, notify)) as run:
        node = line(**_as_drafted(source))  # reads images: a failure is one of the run, messages go to its log
        yield run, cast(Statistics, run.execute(node, Planner.of(store, Rerun(), node)))
        run.finish(RunState.DRAFTED)


def _as_drafted(source: SourceSettings) -> dict[str, Any]:
    """The settings of ingest that the draft will most likely come to, so that the first run reuses these records.

    Not for TFDS, whose builder the stage looks up.
    """
    reader = open_source(source, place_of(source))
    if not isinstance(reader, FilesReader):
        return {"encoding": None}
    reader.prepare(lambda _: None)
    encoding = "raw" if reader.encoding == "raw" or _are_small(reader.sample()) else "encoded"
    return {"encoding": encoding, "labels": source.ordered(_stated(reader.labels()))}


def _are_small(sample: Iterator[Batch]) -> bool:
    """Whether images are small and have one size, as `encoding_of` demands of all. Ends with the first that is not."""
    shapes: set[tuple[int, ...]] = set()
    for batch in sample:
        shapes |= {image.shape for image in batch.images}
        if len(shapes) > 1 or any(max(shape[:2]) > SMALL for shape in shapes):
            return False
    return len(shapes) == 1


def save(path: Path, content: str) -> None:
    """Writes a draft.

    Raises:
        StoreError: the file cannot be written.
        EnvironmentFailure: the disk is full.
    """
    with places.explained(path.absolute().parent, "cannot write the draft to"):
        disk.atomic_write_text(path, content)


def check(path: Path) -> None:
    """Raises ConfigurationError if the file exists or cannot be written."""
    folder = path.absolute().parent
    if path.exists():
        raise ConfigurationError(f"{path} already exists", "Name another file with --out.")
    if not folder.is_dir():
        cause = f"there is no folder {path.parent} to write {path.name} to"
        raise ConfigurationError(cause, "Create it, or name another file with --out.")
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"{path.parent} is not writable", "Name another file with --out.")


def text(splits: "dict[str, stats.pb.DatasetFeatureStatistics]", names: Sequence[str]) -> str:
    """The text of a schema that the data satisfies. `names`: the names of the labels in the dataset."""
    schema, encoding = pb.Schema(), encoding_of(splits)
    if stated := _stated(names):
        schema.string_domain.add(name="label", value=stated)
    image = schema.feature.add(name="image", type=pb.BYTES)
    image.image_domain.SetInParent()
    image.annotation.tag.append(f"encoding={encoding}")
    if encoding == "raw":
        image.annotation.tag.append("dtype=uint8")
    image.skew_comparator.jensen_shannon_divergence.threshold = 0.01
    image.drift_comparator.jensen_shannon_divergence.threshold = 0.02
    for side in SIDES:
        domain = schema.feature.add(name=f"image/{side}", type=pb.INT).int_domain
        sizes = [size for split in splits.values() for size in sides(split, side)]
        domain.min, domain.max = CHANNELS if side == "channels" and encoding == "encoded" else _range(side, sizes)
    if encoding == "encoded":
        schema.feature.add(name="image/format", type=pb.BYTES).string_domain.value.extend(FORMATS)
    label = schema.feature.add(name="label", type=pb.INT)
    label.annotation.tag.extend(unused_tag(each, _stated(names)) for each in _without_images(splits, names))
    label.int_domain.min, label.int_domain.is_categorical = 0, True
    label.int_domain.max = max(*_labels(splits), len(names) - 1)
    label.skew_comparator.infinity_norm.threshold = label.drift_comparator.infinity_norm.threshold = 0.03
    for name in ("source/dataset", "source/version", "source/split"):
        schema.feature.add(name=name, type=pb.BYTES)
    schema.feature.add(name="source/index", type=pb.INT).int_domain.min = 0
    for feature in schema.feature:
        feature.presence.min_fraction = 1.0
        feature.shape.SetInParent()
    return str(text_format.MessageToString(schema))


def unused(splits: "dict[str, stats.pb.DatasetFeatureStatistics]", names: Sequence[str]) -> tuple[str, ...]:
    """The titles of the classes that never occur."""
    return tuple(label_title(label, _stated(names)) for label in _without_images(splits, names))


def _without_images(splits: "dict[str, stats.pb.DatasetFeatureStatistics]", names: Sequence[str]) -> list[int]:
    """The labels that no image has, up to the last one that an image or a name has."""
    seen = _labels(splits)
    return sorted(set(range(max(*seen, len(names) - 1) + 1)) - seen)


def _labels(splits: "dict[str, stats.pb.DatasetFeatureStatistics]") -> set[int]:
    return {int(value) for split in splits.values() for value in stats.values(split, "label")}


def _stated(names: Sequence[str]) -> Sequence[str]:
    """The names that the contract states: none where they are the numbers of the labels."""
    return () if list(names) == [str(label) for label in range(len(names))] else names


def encoding_of(splits: "dict[str, stats.pb.DatasetFeatureStatistics]") -> Encoding:
    """`raw` for small images of one size, which take longer to decode than to read; else `encoded`."""
    sizes_by_side = {side: {size for split in splits.values() for size in sides(split, side)} for side in SIDES}
    small = max(sizes_by_side["height"] | sizes_by_side["width"]) <= SMALL
    return "raw" if small and all(len(sizes) == 1 for sizes in sizes_by_side.values()) else "encoded"


def sides(split: "stats.pb.DatasetFeatureStatistics", side: str) -> list[int]:
    """The heights, widths or numbers of channels of a split's images."""
    return [int(value) for value in stats.values(split, f"image/{side}")]


def _range(side: str, sizes: list[int]) -> tuple[int, int]:
    """(min, max) for the contract: half to twice the sample's sizes, or its one size. Channels of pixels are exact."""
    low, high = min(sizes), max(sizes)
    return (low, high) if side == "channels" or low == high else (max(1, low // 2), 2 * high)
