"""Statistics as `tensorflow_metadata` protos: written by describe, read by validate and the report.

TFDV and Facets read the standard fields; the rest is in `custom_stats` of the feature `image`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from etils import epy

from schemas import features, photos
from schemas.example import METADATA

with epy.lazy_imports():
    import tensorflow as tf
    from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

MAX_VALUES = 1000  # of a metadata column: a column of file names has one for each image
SQUARES = "squares of pixel counts"  # by pixel value, summed over the images
SERVED = "assets.extra/statistics.tfrecord"  # where a version in the serving directory keeps the statistics of its data


def write(path: Path, datasets: "Iterable[pb.DatasetFeatureStatistics]") -> None:
    """A TFRecord of one `DatasetFeatureStatisticsList`, as TFDV writes it."""
    with tf.io.TFRecordWriter(str(path)) as records:
        records.write(pb.DatasetFeatureStatisticsList(datasets=datasets).SerializeToString(deterministic=True))


def read(path: Path) -> "dict[str, pb.DatasetFeatureStatistics]":
    """Datasets by name, in the order of the splits. Needs no TensorFlow: a TFRecord is a length, its CRC, the record.

    Raises:
        ValueError: the file is cut short, or holds something else.
    """
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    record = content[12 : 12 + size]
    if len(content) < 12 or len(record) != size:
        raise ValueError(f"{path} is cut short")
    return {dataset.name: dataset for dataset in pb.DatasetFeatureStatisticsList.FromString(record).datasets}


def encode(
    split: str, images: Any, duplicates: int, leaked: Mapping[str, int], near: Mapping[str, int]
) -> "pb.DatasetFeatureStatistics":
    """One split's `components._data.statistics.ImageStatistics` as a proto.

    `leaked`: images also in each other split. `near`: images with a near copy in each split.
    """
    dataset = pb.DatasetFeatureStatistics(name=split, num_examples=images.records)
    _image(dataset, images, duplicates, leaked, near)
    for i, side in enumerate(("height", "width", "channels")):
        features.categorical(dataset, f"image/{side}", _marginal(images.sizes, i), images.records)
    if images.formats:
        features.categorical(dataset, "image/format", images.formats, images.records, pb.FeatureNameStatistics.BYTES)
    features.categorical(dataset, "label", images.labels, images.records)
    for i, part in enumerate(("dataset", "version", "split")):
        features.categorical(
            dataset, f"source/{part}", _marginal(images.sources, i), images.records, pb.FeatureNameStatistics.BYTES
        )
    photos.add(dataset, images.photos, images.records)
    columns: dict[str, dict[str, int]] = {}
    for (name, value), count in sorted(images.metadata.items()):
        columns.setdefault(name, {})[value] = count
    for name, counts in columns.items():
        counts.pop("", None)  # has no value
        kind = pb.FeatureNameStatistics.STRING
        features.categorical(dataset, METADATA + name, counts, images.records, kind, MAX_VALUES)
    return dataset


def custom(dataset: "pb.DatasetFeatureStatistics", name: str) -> float:
    """A number of `custom_stats` of the image; 0 where it is absent."""
    return next((s.num for s in feature(dataset, "image").custom_stats if s.name == name), 0.0)


def brightness(dataset: "pb.DatasetFeatureStatistics") -> dict[str, tuple[float, float]]:
    """By label: mean and standard deviation over its images of their mean pixel. Empty where it was not counted."""
    numbers = {s.name: s.num for s in feature(dataset, "image").custom_stats}
    start = "brightness of label "
    return {
        name.removeprefix(start): (numbers[name], numbers[name.replace("brightness", "deviation", 1)])
        for name in numbers
        if name.startswith(start)
    }


def leaked(dataset: "pb.DatasetFeatureStatistics") -> dict[str, int]:
    """The number of images of this split that are also in each other split."""
    return _by_split(dataset, "also in ")


def near_copies(dataset: "pb.DatasetFeatureStatistics") -> dict[str, int]:
    """The number of images of this split that have a near copy, but no copy, in each split, its own included."""
    return _by_split(dataset, "near copy in ")


def _by_split(dataset: "pb.DatasetFeatureStatistics", start: str) -> dict[str, int]:
    numbers = ((s.name, int(s.num)) for s in feature(dataset, "image").custom_stats)
    return {name.removeprefix(start): number for name, number in numbers if name.startswith(start) and number}


def pixels(dataset: "pb.DatasetFeatureStatistics") -> list[float]:
    """Counts of the 256 pixel values."""
    histogram = next(s.histogram for s in feature(dataset, "image").custom_stats if s.name == "pixel histogram")
    return [bucket.sample_count for bucket in histogram.buckets]


def pixel_variances(dataset: "pb.DatasetFeatureStatistics") -> list[float]:
    """Variance, over the images, of the share of each of the 256 pixel values. Zeros where it was not counted."""
    counts = pixels(dataset)
    squares = next((s.histogram for s in feature(dataset, "image").custom_stats if s.name == SQUARES), None)
    if squares is None or not (total := sum(counts)):
        return [0.0] * 256
    images, size = dataset.num_examples, total / dataset.num_examples
    both = zip(counts, (bucket.sample_count for bucket in squares.buckets), strict=True)
    return [max(0.0, square / images - (count / images) ** 2) / size**2 for count, square in both]


def values(dataset: "pb.DatasetFeatureStatistics", name: str) -> dict[str, int]:
    """Counts of the values of a categorical feature. Empty if the dataset has no such feature."""
    stats = next((each for each in dataset.features if list(each.path.step) == [name]), None)
    return {b.label: int(b.sample_count) for b in stats.string_stats.rank_histogram.buckets} if stats else {}


def value_range(dataset: "pb.DatasetFeatureStatistics", name: str) -> str:
    """The smallest and largest value of an integer feature: "28", or "98–500"."""
    sizes = sorted(map(int, values(dataset, name)))
    return "" if not sizes else f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,}–{sizes[-1]:,}"


def feature(dataset: "pb.DatasetFeatureStatistics", name: str) -> "pb.FeatureNameStatistics":
    """Raises KeyError where the dataset has no such feature."""
    for each in dataset.features:
        if list(each.path.step) == [name]:
            return each
    raise KeyError(name)


def _image(dataset: Any, images: Any, duplicates: int, leaked: Mapping[str, int], near: Mapping[str, int]) -> None:
    stats = dataset.features.add(type=pb.FeatureNameStatistics.BYTES)
    stats.path.step.append("image")
    features.common(stats.bytes_stats.common_stats, images.records, images.no_image)
    stats.bytes_stats.avg_num_bytes = images.image_bytes / max(1, images.records - images.no_image)
    numbers = {
        "pixel mean": images.pixels.mean,
        "pixel std": images.pixels.std,
        "malformed": images.malformed,
        "constant": images.constant,
        "duplicates": duplicates,
    } | {f"also in {split}": count for split, count in sorted(leaked.items())}
    numbers |= {f"near copy in {split}": count for split, count in sorted(near.items())}
    for label in sorted(images.labels):
        mean, deviation = images.brightness(label)
        numbers |= {f"brightness of label {label}": mean, f"deviation of label {label}": deviation}
    for name, number in numbers.items():
        stats.custom_stats.add(name=name, num=number)
    for name, counts in (("pixel histogram", images.pixels.counts), (SQUARES, [images.squares[v] for v in range(256)])):
        histogram = stats.custom_stats.add(name=name).histogram
        for value, count in enumerate(counts):
            histogram.buckets.add(low_value=value, high_value=value + 1, sample_count=count)
    quantiles = stats.custom_stats.add(name="pixel quantiles").histogram
    quantiles.type = pb.Histogram.QUANTILES
    for i in range(features.QUANTILES):
        low, high = (images.pixels.quantile(q / features.QUANTILES) for q in (i, i + 1))
        quantiles.buckets.add(low_value=low, high_value=high, sample_count=images.pixels.total / features.QUANTILES)


def _marginal(counts: Mapping[tuple[Any, ...], int], position: int) -> dict[Any, int]:
    totals: dict[Any, int] = {}
    for key, count in counts.items():
        if key[position] not in (-1, ""):  # the parser's value for a missing feature
            totals[key[position]] = totals.get(key[position], 0) + count
    return totals
