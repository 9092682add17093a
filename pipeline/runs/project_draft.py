"""Drafts a configuration and a data contract for a dataset, from its statistics.

draft = write("photos", Path("gateline.yaml"), options)     # photos.pbtxt and gateline.yaml
draft.images, draft.labels                                # {"train": 720, ...}, {"cat": 510, "dog": 490}
"""

import bisect
import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.sources import open_source, tfds_builder
from components.sources.reading import place_of
from components.sources.table import SUFFIXES
from pipeline.config import section
from pipeline.dag import outputs
from pipeline.runs import schema_draft
from pipeline.runs.context import RunOptions
from pipeline.store.recorded import RecordedArtifacts
from schemas import statistics as stats
from schemas.artifacts import TEST, TRAIN, Examples, Statistics, in_order
from schemas.contract import Contract
from schemas.errors import ConfigurationError
from schemas.example import METADATA
from schemas.image_counts import ImageCounts
from schemas.judgeable import SliceGates, unjudgeable
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from schemas.settings.source import Custom, Folder, Idx, SourceSettings, Table, Tfds, Tfrecord
from schemas.settings.train import Train
from schemas.settings.transform import Transform
from schemas.text import yaml_text

HEAD = "# Drafted by gateline init from {title}. Review the limits: they are inferred from the train split.\n\n"
SIZES = (96, 64, 48, 32)  # of the model's input, in pixels: a thousand images train in ten seconds on two cores
TRAINED = 60_000  # images in all epochs: 60 epochs of 1,000 photos take some minutes on two cores
DISAGREEMENT = 0.05  # share of test images on which two trainings of one network differ, measured on Fashion-MNIST


@dataclass(frozen=True)
class Draft:
    """The written files, and facts about the dataset."""

    config: Path
    contract: Path
    images: dict[str, int]  # by split
    sides: dict[str, tuple[int, int]]  # smallest and largest height, width and number of channels
    labels: dict[str, int]  # images of train by label
    unreadable: int
    min_examples: int | None  # drafted, because the test split has fewer images of a label than gates ask for
    unused: tuple[str, ...]  # titles of the classes that never occur
    metadata: dict[str, int]  # distinct values in train of each further column of a table
    unjudgeable: tuple[str, ...] = ()  # gates of the draft that the test split has too few images for


def write(source: str, path: Path, options: RunOptions, columns: Mapping[str, str] | None = None) -> Draft:
    """Ingests and describes a dataset, and writes the configuration `path` and a contract beside it.

    `columns`: names of the columns or features `image`, `label` and `group`, if they differ.

    Raises:
        ConfigurationError: one of the files exists, the folder of `path` does not exist, or the source has no columns.
        DataError: the dataset does not exist.
    """
    settings = _settings(source, options.root, columns or {})
    contract = path.with_name(f"{settings.name}.pbtxt")
    for each in (path, contract):
        schema_draft.check(each)
    with schema_draft.described(settings, options, "init", []) as (run, statistics):
        splits = statistics.by_split()
        names = open_source(settings, place_of(settings)).labels()
        head = HEAD.format(title=settings.title)
        drafted = _config(_relative_to_config(settings, path), contract.name, splits)
        schema_text = schema_draft.text(splits, names)
        schema_draft.save(contract, head + schema_text)
        schema_draft.save(path, head + yaml_text(drafted, compact=True))
    counts = stats.values(splits[TRAIN], "label")
    labels = {names[int(label)] if int(label) < len(names) else label: count for label, count in counts.items()}
    examples = RecordedArtifacts(run.lineage.executions(run.number), outputs()).first(Examples)
    unreadable = examples.unreadable if examples else 0
    sizes_by_side = {side: _all_sides(splits, side) for side in schema_draft.SIDES}
    ranges = {side: (min(sizes), max(sizes)) for side, sizes in sizes_by_side.items()}
    carried = examples.metadata if examples else ()
    column = lambda name: stats.feature(splits[TRAIN], METADATA + name)  # noqa: E731
    metadata = {name: column(name).string_stats.unique for name in carried}
    return Draft(
        path,
        contract,
        in_order(statistics.counts),
        ranges,
        labels,
        unreadable,
        drafted["gates"].get("min_examples"),
        schema_draft.unused(splits, names),
        metadata,
        _unjudgeable(drafted["gates"], statistics, Contract(contract.name, schema_text)),
    )


def _unjudgeable(gates: dict[str, Any], statistics: Statistics, contract: Contract) -> tuple[str, ...]:
    counts = ImageCounts.of(statistics.by_split(), len(statistics.leaked()))
    return tuple(map(str, unjudgeable(SliceGates.of(Gates(**gates), Evaluate()), counts, contract)))


def _settings(source: str, root: Path, columns: Mapping[str, str]) -> SourceSettings:
    if source.partition(":")[2].isidentifier():
        return Custom(custom=source)
    folder = Path(source).expanduser()
    if "*" in source:
        return Tfrecord.model_validate({"tfrecord": source, **columns})
    if folder.is_dir() and any(folder.glob("*-ubyte*")):
        return Idx(idx=source)
    if folder.is_dir():
        if root.resolve().is_relative_to(folder.resolve()):
            cause = f"ROOT {root} is inside {source}, so it would be read as a label"
            raise ConfigurationError(cause, "Change to another directory, or name another ROOT with --root.")
        if columns:
            cause = f"{source} is a folder, which has no column {next(iter(columns.values()))}"
            raise ConfigurationError(cause, "Leave out --image, --label and --group.")
        return Folder(folder=source)
    if folder.suffix.lower() in SUFFIXES:
        return Table.model_validate({"table": source, **columns})
    if "/" in source.rstrip("/") and not source.partition("/")[0].isidentifier():
        raise ConfigurationError(
            f"there is no folder {source}", "Name a folder of images, a table, TFRecord files, or a TFDS dataset."
        )
    if "group" in columns:
        raise ConfigurationError(f"the TFDS dataset {source} has its own splits", "Leave out --group.")
    return tfds_builder.as_delivered(Tfds.model_validate({"tfds": source, **columns}))


def _relative_to_config(source: SourceSettings, path: Path) -> SourceSettings:
    """The source for the configuration `path`, with its path relative to the folder of that file."""
    if isinstance(source, (Tfds, Custom)) or Path(source.path).expanduser().is_absolute():
        return source
    return source.model_copy(update={source.key: os.path.relpath(source.path, path.parent)})


def _all_sides(splits: dict[str, Any], side: str) -> set[int]:
    return {size for split in splits.values() for size in schema_draft.sides(split, side)}


def _model_size(splits: dict[str, Any]) -> tuple[int, int] | None:
    """Suggested height and width of the model's input. None if the images have one small size, which is used as it is.

    Most images are at least as large as the suggestion. It is small enough to train on a CPU.
    """
    heights, widths = (_all_sides(splits, side) for side in ("height", "width"))
    if len(heights) == len(widths) == 1 and max(*heights, *widths) <= SIZES[0]:
        return None
    median = min(_median(stats.values(splits[TRAIN], f"image/{side}")) for side in ("height", "width"))
    side = next((size for size in SIZES if size <= median), SIZES[-1])
    return side, side


def _median(counts: dict[str, int]) -> int:
    sizes = sorted(counts, key=int)
    cumulative = list(itertools.accumulate(counts[size] for size in sizes))
    return int(sizes[bisect.bisect_left(cumulative, cumulative[-1] / 2)])


def _config(source: SourceSettings, contract: str, splits: dict[str, Any]) -> dict[str, Any]:
    """The drafted settings. The floor is half way from guessing to 1, for each class a fifth of the way."""
    size = _model_size(splits)
    height, width = size or (_all_sides(splits, side).pop() for side in ("height", "width"))
    channels = max(_all_sides(splits, "channels"))
    classes = len(stats.values(splits[TRAIN], "label"))
    test_images, guessing = splits[TEST].num_examples, 1 / classes
    margin = min(3 * math.sqrt(DISAGREEMENT / test_images), (1 - guessing) / 8)
    rarest = min(stats.values(splits[TEST], "label").values(), default=0)
    few = {"min_examples": rarest} if 0 < rarest < Gates.model_fields["min_examples"].default else {}
    small = height * width * channels <= 28 * 28
    model = {"kind": "mlp", "layers": [256, 128], "dropout": 0.2} if small else _cnn(min(height, width))
    return {
        "source": source.model_dump(mode="json", exclude_defaults=True),
        "schema": contract,
        **({section(Transform): {"size": [*size]}} if size else {}),
        section(Train): {
            "model": model,
            **({"epochs": 10, "batch_size": 64} if small else _training(splits[TRAIN].num_examples)),
        },
        "gates": {
            "accuracy": round((1 + guessing) / 2, 2),
            "per_class": round(guessing + (1 - guessing) / 5, 2),
            "paired": {"margin": round(margin, 4)},
            "budget": {"margin": round(2 * margin, 4)},
            **few,
        },
    }


def _training(images: int) -> dict[str, Any]:
    """No early stopping: on a hundred validation images it would choose an epoch by chance."""
    epochs = min(60, max(10, round(TRAINED / images)))
    return {"epochs": epochs, "batch_size": 32, "optimizer": {"schedule": "cosine"}}


def _cnn(side: int) -> dict[str, Any]:
    blocks = min(5, max(2, round(math.log2(max(side, 8) / 4))))
    base = 32 if side <= 32 else 16
    filters = [min(128, base * 2**i) for i in range(blocks)]
    augmentation = {"flip": True, "shift": side // 10, "zoom": 0.2}
    return {"kind": "cnn", "filters": filters, "pooling": "average", "dropout": 0.2, **augmentation}
