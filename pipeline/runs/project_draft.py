"""Drafts a configuration and a data contract for a dataset, from its statistics.

draft = write("photos", Path("gateline.yaml"), place)     # photos.pbtxt and gateline.yaml
draft.images, draft.labels                                # {"train": 720, ...}, {"cat": 510, "dog": 490}
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.sources import open_source
from components.sources.reading import place_of
from pipeline.dag import outputs
from pipeline.runs import schema_draft
from pipeline.runs.context import Place
from pipeline.store.recorded import Recorded
from schemas import statistics as stats
from schemas.artifacts import Examples, in_order
from schemas.errors import ConfigurationError, DataError
from schemas.settings.source import Folder, Tfds
from schemas.text import yaml_text

HEAD = "# Drafted by gateline init from {title}. Review the limits: they are inferred from the train split.\n\n"
DISAGREEMENT = 0.05  # share of test images on which two trainings of one network differ, as seen on Fashion-MNIST


@dataclass(frozen=True)
class Draft:
    """What was written, and what the data is."""

    config: Path
    contract: Path
    images: dict[str, int]  # by split
    size: tuple[int, int, int]
    labels: dict[str, int]  # images of train by label
    unreadable: int


def write(source: str, path: Path, place: Place) -> Draft:
    """Ingests and describes a folder or TFDS dataset, and writes the configuration `path` and a contract beside it.

    Raises:
        ConfigurationError: one of the files exists, or the folder of `path` does not.
        DataError: there is no such dataset, or its images have several sizes.
    """
    settings = _settings(source, place.root)
    contract = path.with_name(f"{settings.name}.pbtxt")
    for each in (path, contract):
        schema_draft.check(each)
    with schema_draft.described(settings, place, "init", []) as (run, statistics):
        splits = statistics.by_split()
        size = _size(splits, settings.title)
        names = open_source(settings, place_of(settings)).labels()
        head = HEAD.format(title=settings.title)
        drafted = _config(_seen_from(settings, path), contract.name, size, splits)
        schema_draft.save(contract, head + schema_draft.text(splits["train"], names))
        schema_draft.save(path, head + yaml_text(drafted, compact=True))
    counts = stats.values(splits["train"], "label")
    labels = {names[int(label)] if int(label) < len(names) else label: count for label, count in counts.items()}
    examples = Recorded(run.lineage.executions(run.number), outputs()).first(Examples)
    return Draft(path, contract, in_order(statistics.counts), size, labels, examples.unreadable if examples else 0)


def _settings(source: str, root: Path) -> Tfds | Folder:
    if (folder := Path(source).expanduser()).is_dir():
        if root.resolve().is_relative_to(folder.resolve()):
            cause = f"ROOT {root} is inside {source}, so it would be read as a label"
            raise ConfigurationError(cause, "Go to another directory, or name another ROOT with --root.")
        return Folder(folder=source)
    if "/" in source.rstrip("/") and not source.partition("/")[0].isidentifier():
        raise ConfigurationError(f"there is no folder {source}", "Name a folder of images, or a TFDS dataset.")
    return Tfds(tfds=source)


def _seen_from(source: Tfds | Folder, path: Path) -> Tfds | Folder:
    """The source as the configuration `path` states it: paths in it are relative to its folder."""
    if isinstance(source, Tfds) or Path(source.folder).expanduser().is_absolute():
        return source
    return Folder(folder=os.path.relpath(source.folder, path.parent))


def _size(splits: dict[str, Any], title: str) -> tuple[int, int, int]:
    """Height, width and channels of all images."""
    sides = []
    for side in ("height", "width", "channels"):
        found = {value for split in splits.values() for value in stats.values(split, f"image/{side}")}
        if len(found) > 1:
            some = ", ".join(sorted(found, key=int)[:5])
            cause = f"the images of {title} have {len(found):,} values of {side} ({some})"
            raise DataError(cause, "All images must have one size and number of channels: convert them first.")
        sides.append(int(found.pop()))
    return sides[0], sides[1], sides[2]


def _config(source: Tfds | Folder, contract: str, size: tuple[int, int, int], splits: dict[str, Any]) -> dict[str, Any]:
    """Settings as a YAML document. Floors are half way from guessing to perfect, and a fifth of it for each class."""
    classes = len(stats.values(splits["train"], "label"))
    tested, guessing = splits["test"].num_examples, 1 / classes
    margin = min(3 * math.sqrt(DISAGREEMENT / tested), (1 - guessing) / 8)
    small = math.prod(size) <= 28 * 28
    model = {"kind": "mlp", "layers": [256, 128], "dropout": 0.2} if small else _cnn(min(size[:2]))
    return {
        "source": source.model_dump(mode="json", exclude_defaults=True),
        "schema": contract,
        "train": {"model": model, "epochs": 10, "batch_size": 64},
        "gates": {
            "accuracy": round((1 + guessing) / 2, 2),
            "per_class": round(guessing + (1 - guessing) / 5, 2),
            "paired": {"margin": round(margin, 4)},
            "budget": {"margin": round(2 * margin, 4)},
        },
    }


def _cnn(side: int) -> dict[str, Any]:
    blocks = min(6, max(2, round(math.log2(max(side, 8) / 4))))
    filters = [min(256, 32 * 2**i) for i in range(blocks)]
    return {"kind": "cnn", "filters": filters, "pooling": "average", "dropout": 0.2, "flip": True}
