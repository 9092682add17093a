"""Drafts a data contract from statistics. A person must correct the limits that were inferred from the sample."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from etils import epy
from rich.console import Console

from components.describe import describe
from components.ingest import ingest
from components.resolvers.source_data import source_data
from components.sources.tfds_builder import label_names
from pipeline.engine import runner
from pipeline.engine.plan import Planner, Rerun
from pipeline.lineage import Lineage
from pipeline.runs import log, progress
from pipeline.runs.session import recorded
from pipeline.store import Store
from schemas import files
from schemas import statistics as stats
from schemas.artifacts import Statistics
from schemas.contract import DRAFT
from schemas.errors import ConfigurationError
from schemas.settings.source import Source

with epy.lazy_imports():
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2 as pb


def write(
    source: Source, root: Path, path: Path, *, database: str | None = None, wait: bool = False, verbose: bool = False
) -> None:
    """Ingest and describe the dataset, and write what a contract for it could be.

    Raises:
        ConfigurationError: the file is there already.
        DataError: the dataset cannot be fetched.
    """
    if path.exists():
        raise ConfigurationError(f"{path} is there already", "Name another file with --out.")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(
            f"there is no folder {path.parent} to write {path.name} to", "Make it, or name another file with --out."
        )
    if not os.access(path.absolute().parent, os.W_OK):
        raise ConfigurationError(f"{path.parent} may not be written to", "Name another file with --out.")
    data = source_data(source=source, data_dir=source.data_dir, digests=root / "digests.json")
    examples = ingest(data=data, source=source, data_dir=source.data_dir, manual_dir=source.manual_dir)
    node = describe(examples=examples)
    store = Store(root)
    planner = Planner.of(store, Rerun(), node)
    with store.lock(wait=wait):
        lineage = Lineage.at(root, database)
        number = lineage.start(profile=f"schema infer {source.tfds}", command="schema infer", config={})
        log_file = root / "logs" / f"run-{number}.log"
        with recorded(lineage, number, log_file), log.quiet(log_file, verbose=verbose) as terminal:
            with progress.watch(Console(file=terminal, highlight=False), planner.order) as watching:
                execution = runner.Execution(number, node, planner, store, lineage, runner.Beam(), watching)
                statistics = execution.run(planner.plan(node))
            train = cast(Statistics, statistics).by_split()["train"]
            head = (
                f"{DRAFT}: inferred from the train split of {source.tfds}. Read it, correct it, remove this line.\n\n"
            )
            with files.explained(path.absolute().parent, "cannot write the draft to"):
                path.write_text(head + text(train, label_names(source)), encoding="utf-8")
        lineage.finish(number, state="drafted", exit_code=0)


def text(train: "stats.pb.DatasetFeatureStatistics", names: Sequence[str]) -> str:
    """A schema that the train split fulfils. `names`: what the dataset calls its labels."""
    schema = pb.Schema()
    if list(names) != [str(label) for label in range(len(names))]:
        schema.string_domain.add(name="label", value=names)
    image = schema.feature.add(name="image", type=pb.BYTES)
    image.image_domain.SetInParent()
    image.annotation.tag.extend(["encoding=raw", "dtype=uint8"])
    image.skew_comparator.jensen_shannon_divergence.threshold = 0.01
    image.drift_comparator.jensen_shannon_divergence.threshold = 0.02
    for name in ("image/height", "image/width", "image/channels", "label"):
        feature = schema.feature.add(name=name, type=pb.INT)
        seen = [int(value) for value in stats.values(train, name)]
        feature.int_domain.min, feature.int_domain.max = min(seen), max(seen)
        if name == "label":
            feature.int_domain.min, feature.int_domain.is_categorical = 0, True
            feature.int_domain.max = max(*seen, len(names) - 1)  # train may lack the last
            feature.skew_comparator.infinity_norm.threshold = feature.drift_comparator.infinity_norm.threshold = 0.03
    for name in ("source/dataset", "source/version", "source/split"):
        schema.feature.add(name=name, type=pb.BYTES)
    schema.feature.add(name="source/index", type=pb.INT).int_domain.min = 0
    for feature in schema.feature:
        feature.presence.min_fraction = 1.0
        feature.shape.SetInParent()
    return str(text_format.MessageToString(schema))
