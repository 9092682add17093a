"""The monoids of describe: laws, and agreement with numpy."""

import subprocess
import sys
import time
from collections import Counter

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import schemas.statistics
from components._data import duplicates
from components._data.duplicates import Duplicates
from components._data.statistics import Histogram, ImageStatistics, merged

SPLITS = ("train", "validation", "test")

pixels = st.binary(max_size=40).map(lambda b: np.frombuffer(b, np.uint8))
record = st.fixed_dictionaries(
    {
        "image": st.one_of(st.binary(max_size=8), st.integers(0, 255).map(lambda v: bytes([v]) * 6)),
        "image/height": st.integers(-1, 3),
        "image/width": st.integers(-1, 3),
        "image/channels": st.sampled_from([-1, 1, 3]),
        "label": st.integers(-1, 4),
        "image/format": st.sampled_from([b"", b"png", b"jpeg"]),
        "source/dataset": st.sampled_from([b"", b"mnist", b"own"]),
        "source/version": st.sampled_from([b"1.0.0", b"2.0.0"]),
        "source/split": st.sampled_from([b"train", b"test"]),
    }
)
batches = st.lists(record, min_size=1, max_size=8)
digests = st.lists(
    st.tuples(st.sampled_from([bytes([i]) for i in range(6)]), st.sampled_from(SPLITS), st.integers(0, 99)), max_size=20
)


def columns(records):
    """Columns as `schemas.shard_reader.parse` returns them."""
    return {
        name: np.array([r[name] for r in records], object if isinstance(records[0][name], bytes) else np.int64)
        for name in records[0]
    }


def statistics(records):
    return ImageStatistics.of(columns(records))


@hypothesis.given(batches, batches, batches)
def test_image_statistics_merge_in_any_order_and_grouping(one, two, three):
    a, b, c = statistics(one), statistics(two), statistics(three)
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))


@hypothesis.given(batches)
def test_empty_image_statistics_are_neutral(records):
    assert (
        ImageStatistics().merge(statistics(records))
        == statistics(records)
        == statistics(records).merge(ImageStatistics())
    )


@hypothesis.given(st.lists(batches, min_size=1, max_size=5))
def test_any_partition_of_a_batch_gives_the_same_statistics(parts):
    assert merged(ImageStatistics, map(statistics, parts)) == statistics([record for part in parts for record in part])


@hypothesis.given(batches)
def test_image_statistics_count_images_labels_and_formats(records):
    result = statistics(records)
    images = [r["image"] for r in records]
    sides = [r["image/height"] * r["image/width"] * r["image/channels"] for r in records]
    assert result.records == len(records)
    assert result.no_image == images.count(b"")
    assert result.malformed == sum(len(image) not in (0, size) for image, size in zip(images, sides, strict=True))
    assert result.constant == sum(len(set(image)) == 1 for image in images)
    assert result.image_bytes == sum(map(len, images))
    assert result.formats.total() == sum(r["image/format"] != b"" for r in records)
    assert result.labels.total() == sum(r["label"] >= 0 for r in records)
    assert result.pixels.total == result.image_bytes


@hypothesis.given(pixels, pixels, pixels)
def test_histograms_merge_in_any_order_and_grouping(one, two, three):
    a, b, c = map(Histogram.of, (one, two, three))
    assert a.merge(b) == b.merge(a) == Histogram.of(np.concatenate([one, two]))
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert Histogram().merge(a) == a == a.merge(Histogram())


@hypothesis.given(pixels.filter(len), st.integers(0, 100))
def test_mean_deviation_and_quantiles_equal_those_of_numpy(values, percent):
    histogram = Histogram.of(values)
    assert histogram.total == len(values)
    assert histogram.mean == pytest.approx(values.mean())
    assert histogram.std == pytest.approx(values.std(), abs=1e-5)
    assert histogram.quantile(percent / 100) == np.quantile(values, percent / 100, method="inverted_cdf")


def test_an_empty_histogram_has_mean_deviation_and_quantile_zero():
    assert (Histogram().total, Histogram().mean, Histogram().std, Histogram().quantile(0.5)) == (0, 0.0, 0.0, 0)


@hypothesis.given(digests, digests, digests)
def test_duplicates_merge_in_any_order_and_grouping(one, two, three):
    a, b, c = map(Duplicates.of, (one, two, three))
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert Duplicates().merge(a) == a == a.merge(Duplicates())


@hypothesis.given(digests, st.integers(1, 4))
def test_duplicates_by_buckets_of_digests_merge_to_the_same_result(pairs, buckets):
    parts = [[pair for pair in pairs if pair[0][0] % buckets == i] for i in range(buckets)]
    assert merged(Duplicates, map(Duplicates.of, parts)) == Duplicates.of(pairs)


@hypothesis.given(digests)
def test_duplicates_count_copies_within_a_split_and_across_splits(pairs):
    result = Duplicates.of(pairs)
    by_split = {split: [digest for digest, s, _ in pairs if s == split] for split in SPLITS}
    for split, members in by_split.items():
        assert result.within[split] == len(members) - len(set(members))
        for other in set(SPLITS) - {split}:
            assert result.across[split, other] == sum(digest in by_split[other] for digest in members)
    elsewhere = {digest for digest, split, _ in pairs if split != "test"}
    assert result.leaked == {
        ("test", index) for digest, split, index in pairs if split == "test" and digest in elsewhere
    }


@hypothesis.given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(SPLITS), st.integers(0, 99)), max_size=30), st.integers(1, 4)
)
def test_duplicates_from_files_equal_those_in_memory_for_any_bucket_size(tmp_path_factory, images, bucket_size):
    folder = tmp_path_factory.mktemp("digests")
    parts = {}
    for split in SPLITS:
        of_split = [(bytes([image]), position) for image, split_, position in images if split_ == split]
        for half in (of_split[::2], of_split[1::2]):
            if half:
                path = folder / f"{split}-{len(parts.setdefault(split, []))}.npy"
                duplicates.save(duplicates.digests([image for image, _ in half], np.array([p for _, p in half])), path)
                parts[split].append(path)
    assert duplicates.duplicates(parts, bucket_size) == Duplicates.of(
        (bytes([image]), split, position) for image, split, position in images
    )


@hypothesis.given(batches)
def test_statistics_survive_json(records):
    assert ImageStatistics.from_json(statistics(records).to_json()) == statistics(records)


@hypothesis.given(batches)
def test_the_brightness_of_a_label_is_that_of_its_images(records):
    records = [r for r in records if len(r["image"]) == 6]
    mean, deviation = statistics(records).brightness(2) if records else (0, 0)
    means = [sum(r["image"]) / 6 for r in records if r["label"] == 2]
    assert (mean, deviation) == pytest.approx((np.mean(means), np.std(means)) if means else (0, 0), abs=1e-4)


def test_more_files_than_descriptors_are_compared(tmp_path):
    """Three hundred spans, and a limit of 64 open files."""
    rows = duplicates.digests([b"an image", b"another"], np.array([0, 1]))
    for i in range(300):
        duplicates.save(rows, tmp_path / f"{i}.npy")
    program = (
        "import resource, sys; from pathlib import Path; from components._data.duplicates import duplicates;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64));"
        "found = duplicates({'train': sorted(Path(sys.argv[1]).glob('*.npy'))}, bucket=100); "
        "print(found.within['train'])"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("598\n", "")


def test_a_column_of_unique_values_is_listed_up_to_a_bound():
    counts = {("file", f"{i:04d}.jpg"): 1 for i in range(3000)} | {("file", "often.jpg"): 9, ("file", ""): 3}
    images = ImageStatistics(records=5000, metadata=Counter(counts))
    column = schemas.statistics.feature(schemas.statistics.encode("train", images, 0, {}, {}), "metadata/file")
    assert column.string_stats.unique == 3001
    buckets = {bucket.label: bucket.sample_count for bucket in column.string_stats.rank_histogram.buckets}
    assert len(buckets) == schemas.statistics.MAX_VALUES
    assert buckets["often.jpg"] == 9
    assert column.string_stats.common_stats.num_non_missing == 3009


def test_time_of_merging_grows_with_the_batches_and_not_with_their_square():
    """Each batch of photos adds values that no other has."""

    def seconds(count):
        parts = [
            ImageStatistics(records=1, photos=Counter({(0, "bytes", 8 * i + k): 1 for k in range(8)}))
            for i in range(count)
        ]
        start = time.process_time()
        whole = merged(ImageStatistics, parts)
        assert (whole.records, len(whole.photos)) == (count, 8 * count)
        return time.process_time() - start

    assert seconds(4000) < 8 * seconds(1000) + 0.1
