"""Source `tfds`: the splits of a TFDS dataset, in TFDS's order."""

import ast
import hashlib
import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etils import epy

from components.sources import tfds_builder
from components.sources.files import File, batches_of
from components.sources.fingerprint import Digests, Fingerprint, code_of
from components.sources.reading import SMALL, Batch, Log, Piece, Place, grouped
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.source import Tfds

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds

BATCH = 16  # encoded images that TFDS's reader holds at a time: a photo may have some megabytes


@dataclass
class TfdsReader:
    """Reads slices of the dataset's splits. Test and validation can be cut from train by a hash of the image."""

    settings: Tfds
    place: Place
    metadata: tuple[str, ...] = ()
    # Where this worker's last pieces stopped. A file can be read only from its start, so this reads each record once
    # instead of once for every later piece.
    reading: dict[str, tuple[int, Iterator[bytes]]] = field(default_factory=dict)

    @property
    def shares(self) -> dict[str, float]:
        return self.settings.shares

    def prepare(self, log: Log) -> None:
        builder = tfds_builder.prepared(self.settings, self.place.data_dir, self.place.manual_dir, log)
        tfds_builder.keys(builder, self.settings)  # refused before any record is read

    @property
    def names(self) -> tuple[str, str]:
        return self._builder.info.name, str(self._builder.info.version)

    @property
    def title(self) -> str:
        """With the variant: "cifar10_1:v6:1.1.0"."""
        return str(self._builder.info.full_name).replace("/", ":")

    def labels(self) -> tuple[str, ...]:
        return tfds_builder.label_names(self.settings)

    def pieces(self) -> list[Piece]:
        settings, pieces = self.settings, list[Piece]()
        for split, of in settings.delivered.items():
            splits = (split, *sorted(settings.shares, reverse=True)) if split == "train" else (split,)
            count = math.ceil(self._count(of) / settings.shard_size)
            sizes = [self._count(part) for part in tfds.even_splits(of, count)] if count else []
            pieces += [Piece(splits, of, i, count, sum(sizes[:i])) for i in range(count)]
        for (one, first), (other, second) in itertools.combinations(settings.delivered.items(), 2):
            if self._overlap(first, second):
                raise DataError(
                    f"source.{one} {first} and source.{other} {second} share images of {settings.tfds}",
                    "A model must be tested on images that it was not trained on: name splits that do not overlap.",
                )
        return pieces

    @property
    def encoding(self) -> Encoding:
        builder = self._builder
        height, width, _ = builder.info.features[tfds_builder.keys(builder, self.settings)[0]].shape
        return "raw" if height and width and max(height, width) <= SMALL else "encoded"

    def read(self, piece: Piece, encoding: Encoding) -> Iterator[Batch]:
        part, builder = tfds.even_splits(piece.of, piece.count)[piece.index], self._builder
        keys = tfds_builder.keys(builder, self.settings)
        channels = builder.info.features[keys[0]].shape[2] or 0
        by_file = builder.info.file_format is tfds.core.FileFormat.TFRECORD
        read = self._by_file(part, *keys) if by_file else self._by_tfds(part, *keys)
        yield from batches_of(self._files(read, piece), encoding, channels)

    def _files(self, read: "Iterator[tuple[np.ndarray, np.ndarray]]", piece: Piece) -> Iterator[File]:
        number, where = itertools.count(piece.first), f"of {piece.of} of {self.title}"
        for contents, labels in read:
            for content, label in zip(contents.tolist(), labels.tolist(), strict=True):
                title = f"image {next(number):,} {where}"
                yield File(title, content, label, title)

    @property
    def _builder(self) -> Any:
        return tfds_builder.load(self.settings, self.place.data_dir)

    def _count(self, split: Any) -> int:
        info = self._builder.info
        try:
            return int(info.splits[split].num_examples)
        except (KeyError, ValueError):
            remedy = (
                f"It has {', '.join(info.splits)}; see source.train and source.test, which may be a share of train."
            )
            raise DataError(f"{info.full_name} has no split {split}", remedy) from None

    def _overlap(self, one: str, other: str) -> bool:
        """True if two splits read a record of the same file."""
        splits = self._builder.info.splits
        spans = [
            [(f.filename, f.skip, f.skip + f.take) for f in splits[split].file_instructions] for split in (one, other)
        ]
        return any(a[0] == b[0] and a[1] < b[2] and b[1] < a[2] for a in spans[0] for b in spans[1])

    def _by_file(self, part: Any, image_key: str, label_key: str) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
        """Reads TFDS's own files a batch at a time. TFDS's reader parses one record at a time, ten times slower."""
        spec = {image_key: tf.io.FixedLenFeature([], tf.string), label_key: tf.io.FixedLenFeature([], tf.int64)}
        for file in self._builder.info.splits[part].file_instructions:
            name, end = str(file.filename), file.skip + file.take if file.take >= 0 else None
            at, records = self.reading.pop(name, (math.inf, iter(())))
            if at > file.skip:
                at, records = 0, tf.compat.v1.io.tf_record_iterator(name)
            wanted = itertools.islice(records, file.skip - int(at), None if end is None else end - int(at))
            try:
                for batch in grouped(wanted, len):
                    parsed = tf.io.parse_example(tf.constant(batch), spec)
                    yield parsed[image_key].numpy(), parsed[label_key].numpy()
            except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
                raise DataError(f"{name} is damaged", "Prepare the dataset again.") from error
            if end is not None:
                self.reading[name] = (end, records)

    def _by_tfds(self, part: Any, image_key: str, label_key: str) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
        """Reads files of other formats with TFDS's reader. TFDS has no `tf.data` reader of ArrayRecord."""
        skip = {image_key: tfds.decode.SkipDecoding()}
        if self._builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD:
            records = self._builder.as_data_source(split=part, decoders=skip)
            for some in grouped(records, lambda record: len(record[image_key])):
                yield np.array([r[image_key] for r in some], object), np.array([r[label_key] for r in some])
            return
        dataset = self._builder.as_dataset(split=part, shuffle_files=False, decoders=skip)
        pairs = dataset.map(lambda record: (record[image_key], record[label_key]))
        yield from pairs.batch(BATCH).prefetch(2).as_numpy_iterator()


def fingerprint(settings: Tfds, place: Place, digests: Digests) -> Fingerprint:
    """What TFDS has prepared: every version and variant that `source.tfds` may resolve to."""
    name, _, version = settings.tfds.partition(":")
    folder = _prepared_in(place.data_dir) / name
    return Fingerprint(
        folder,
        digests.of(folder, _is_unfinished) if folder.is_dir() else {},
        name,
        version if version and "*" not in version else _stated_version(settings.module),
    )


def _is_unfinished(name: str) -> bool:
    """True for hidden files and for what TFDS is still preparing."""
    return name.startswith(".") or "incomplete" in name


def _prepared_in(data_dir: str | None) -> Path:
    """The folder in which TFDS keeps prepared data."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _stated_version(module: str | None) -> str:
    """The builder's VERSION as its module states it, else a digest of the module's source. "" without a module."""
    if module is None:
        return ""  # a builder of TFDS itself: its version is that of the library, which is in the cache key
    texts = code_of(module)
    versions = [
        each.value.args[0].value
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if isinstance(each, ast.Assign) and any(getattr(target, "id", "") == "VERSION" for target in each.targets)
        if isinstance(each.value, ast.Call) and each.value.args and isinstance(each.value.args[0], ast.Constant)
    ]
    return ", ".join(map(str, versions)) or hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
