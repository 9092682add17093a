"""Statistics of photos, which are encoded images, as features of a `tensorflow_metadata` proto.

add(dataset, Counter({(label, "mode", "RGB"): 3, ...}), records=3)
rows(dataset)     # {"": {"images": 3, "mode": {"RGB": 3}, "exif": 0.0, "contrast": [40.0, 57.0, 71.0], ...}, "0": ...}

What is true of one label is in the `custom_stats` of each feature.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epy

from schemas import features

with epy.lazy_imports():
    from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

TEXTS, ORIENTATION = ("format", "mode"), "orientation"
NUMBERS = ("bytes", "side", "aspect", "brightness", "contrast", "sharpness")
LABEL = "label "
SHOWN = (0, 4, 8)  # buckets of deciles that end with a tenth of the images, the median and nine tenths


def add(dataset: "pb.DatasetFeatureStatistics", photos: Mapping[tuple[int, str, Any], int], records: int) -> None:
    """Adds a feature for each measure, named image/MEASURE. Nothing if there are no photos.

    An image without EXIF data has no orientation.
    """
    counted: dict[str, dict[int, Counter[Any]]] = {}
    for (label, name, value), count in photos.items():
        if (name, value) != (ORIENTATION, 0):
            ratio = value / 100 if name == "aspect" else value
            counted.setdefault(name, {}).setdefault(label, Counter())[ratio] += count
    for name in (*TEXTS, ORIENTATION, *NUMBERS) if photos else ():
        by_label = counted.get(name, {})
        stats = _feature(dataset, name) or _added(dataset, name, sum(by_label.values(), Counter()), records)
        for label, counts in sorted(by_label.items()):
            if label >= 0:
                own = stats.custom_stats.add(name=f"{LABEL}{label}")
                if name in NUMBERS:
                    features.quantiles(own.histogram, counts)
                else:
                    features.rank(own.rank_histogram, counts)


def rows(dataset: "pb.DatasetFeatureStatistics") -> dict[str, dict[str, Any]]:
    """What was counted of the photos, by label, and of all by "". Empty for raw images, and in older artifacts.

    images: their number. format, mode: counts by value. exif, turned: the shares of images with EXIF data, and with an
    orientation other than 1. bytes, side (the shorter one), aspect (width by height), brightness, contrast, sharpness:
    the values that a tenth of the images, half and nine tenths do not exceed.
    """
    measures: dict[str, dict[str, Any]] = {}
    for name in (*TEXTS, ORIENTATION, *NUMBERS) if _feature(dataset, "mode") else ():
        for label, value in _values(dataset, name):
            measures.setdefault(label, {})[name] = value
    for row in measures.values():
        orientations, images = row.pop(ORIENTATION, {}), sum(row["mode"].values())
        row["images"], row["exif"] = images, sum(orientations.values()) / images
        row["turned"] = row["exif"] - orientations.get("1", 0) / images
    return measures


def _added(dataset: Any, name: str, counts: Counter[Any], records: int) -> Any:
    if name in NUMBERS:
        return features.numeric(dataset, f"image/{name}", counts, records)
    kind = pb.FeatureNameStatistics.BYTES if name in TEXTS else pb.FeatureNameStatistics.INT
    return features.categorical(dataset, f"image/{name}", counts, records, kind)


def _feature(dataset: Any, name: str) -> Any:
    return next((each for each in dataset.features if list(each.path.step) == [f"image/{name}"]), None)


def _values(dataset: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(label, value of a row), of all photos first."""
    stats = _feature(dataset, name)
    if name in NUMBERS:
        yield "", _deciles(next(each for each in stats.num_stats.histograms if each.type == pb.Histogram.QUANTILES))
    else:
        yield "", _counts(stats.string_stats.rank_histogram)
    for own in stats.custom_stats:
        yield own.name.removeprefix(LABEL), _deciles(own.histogram) if name in NUMBERS else _counts(own.rank_histogram)


def _deciles(histogram: Any) -> list[float]:
    return [histogram.buckets[i].high_value for i in SHOWN]


def _counts(histogram: Any) -> dict[str, int]:
    return {bucket.label: int(bucket.sample_count) for bucket in histogram.buckets}
