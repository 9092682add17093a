"""Statistics of photos: values computed by hand, what headers state, and the statistics of files as a proto."""

from collections import Counter

import hypothesis
import numpy as np
import PIL.Image
import pytest
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

from components._data import photos
from components._data.statistics import ImageStatistics
from components.describe import describe
from schemas import example, features
from schemas import photos as stored
from tests.components.image_files import encoded, encoded_examples

SIDE = 64
ORIENTATION = 0x0112
FLAT = np.full((SIDE, SIDE, 3), 100, np.uint8)
CHECKERBOARD = np.repeat(255 * (np.indices((SIDE, SIDE)).sum(0) % 2)[..., None], 3, -1).astype(np.uint8)
HALVES = np.zeros((SIDE, SIDE, 3), np.uint8)
HALVES[:, SIDE // 2 :] = 200


def photo(size: tuple[int, int] = (30, 20), mode: str = "RGB") -> PIL.Image.Image:
    columns = np.linspace(0, 255, size[0]).astype(np.uint8)
    return PIL.Image.fromarray(np.tile(columns, (size[1], 1))).convert(mode)


def jpeg(orientation: int | None, **options: object) -> bytes:
    """With EXIF data that states the orientation; 0: that states none; None: without EXIF data."""
    if orientation is None:
        return encoded(photo(), "JPEG", **options)
    exif = PIL.Image.Exif()
    exif[0x010E] = "a description"
    if orientation:
        exif[ORIENTATION] = orientation
    return encoded(photo(), "JPEG", exif=exif, **options)


def test_measures_of_thumbnails_match_hand_computed_values():
    found = photos.measures(np.stack([FLAT, CHECKERBOARD, HALVES]))
    assert found["brightness"].tolist() == [100, 127.5, 100]
    assert found["contrast"].tolist() == [0, 127.5, 100]
    # Laplacian: 4 x 255 with either sign on the checkerboard; on the halves, 200 and -200 in 2 of 62 columns.
    assert found["sharpness"].tolist() == [0, 1020**2, pytest.approx(200**2 * 2 / 62)]


def test_luma_matches_the_decoder():
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 2, 3]], np.uint8)
    thumbnails = np.repeat(np.repeat(colours[:, None, None], SIDE, 1), SIDE, 2)
    expected = [76, 150, 29, 2]  # 0.299 red, 0.587 green, 0.114 blue, rounded
    assert photos.measures(thumbnails)["brightness"].tolist() == expected


@pytest.mark.parametrize(
    ("number", "rounded"), [(0, 0), (7, 7), (99, 99), (104, 100), (105, 110), (995, 1000), (1234, 1200), (98765, 99000)]
)
def test_large_numbers_are_counted_by_two_digits(number, rounded):
    assert photos.two_digits(number) == rounded


IMAGE_16_BIT = PIL.Image.fromarray(np.full((8, 8), 300, np.uint16))
HEADERS = {
    "grey": [encoded(photo(mode="L"), "PNG"), encoded(photo(mode="L"), "JPEG"), encoded(photo(mode="1"), "PNG")],
    "RGB": [
        *(encoded(photo(), file_format) for file_format in ("PNG", "JPEG", "BMP", "WEBP")),
        encoded(photo(), "WEBP", lossless=True),
        encoded(photo(), "JPEG", progressive=True),
        jpeg(1),
    ],
    "grey with alpha": [encoded(photo(mode="LA"), "PNG")],
    "RGB with alpha": [
        encoded(PIL.Image.new("RGBA", (9, 9), (1, 2, 3, 4)), "PNG"),
        encoded(PIL.Image.new("RGBA", (9, 9), (1, 2, 3, 4)), "WEBP"),
        encoded(PIL.Image.new("RGBA", (9, 9), (1, 2, 3, 4)), "WEBP", lossless=True),
    ],
    "palette": [
        *(encoded(photo().quantize(8), file_format) for file_format in ("PNG", "GIF")),
        encoded(photo(mode="L"), "BMP"),
    ],
    "CMYK": [encoded(photo(mode="CMYK"), "JPEG")],
    "grey, 16 bit": [encoded(IMAGE_16_BIT, "PNG")],
    "unknown": [b"\xff\xd8\xff\xff", b"\xff\xd8\xff\xe0\0\4\0\0\xff\xd9", b"a text"],
}


@pytest.mark.parametrize("mode", HEADERS)
def test_colour_modes_are_read_from_headers(mode):
    assert [photos.mode(content) for content in HEADERS[mode]] == [mode] * len(HEADERS[mode])


images = st.sampled_from(sorted({content for each in HEADERS.values() for content in each} - set(HEADERS["unknown"])))
batches = st.lists(st.tuples(images, st.integers(-1, 2), st.integers(0, 8)), min_size=1, max_size=6)
EMPTY = {"image/channels": -1, "source/index": 0} | dict.fromkeys(
    (f"source/{part}" for part in ("dataset", "version", "split")), b""
)


def counted(rows: list[tuple[bytes, int, int]]) -> ImageStatistics:
    """Statistics of (content, label, orientation). Each content has a thumbnail of its own."""
    thumbnail = lambda content: np.random.default_rng(len(content)).integers(0, 256, (SIDE, SIDE, 3), np.uint8)  # noqa: E731
    examples = [
        EMPTY
        | {"image": content, "image/format": example.format_of(content).encode(), "label": label}
        | {"image/height": 10 + len(content) % 7, "image/width": 10 + len(content) % 5}
        for content, label, _ in rows
    ]
    columns = {
        name: np.array([row[name] for row in examples], object if isinstance(examples[0][name], bytes) else int)
        for name in examples[0]
    }
    orientations = np.array([orientation for _, _, orientation in rows])
    return ImageStatistics.of(columns, (np.stack([thumbnail(content) for content, _, _ in rows]), orientations))


@hypothesis.given(batches, batches, batches)
@hypothesis.settings(max_examples=30)
def test_photo_statistics_merge_in_any_order_and_grouping(one, two, three):
    a, b, c = map(counted, (one, two, three))
    assert a.merge(b) == b.merge(a) == counted(one + two)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert ImageStatistics().merge(a) == a == a.merge(ImageStatistics())
    assert ImageStatistics.from_json(a.to_json()) == a


@hypothesis.given(st.dictionaries(st.integers(0, 500), st.integers(1, 9), min_size=1))
def test_numeric_features_agree_with_numpy(counts):
    dataset = pb.DatasetFeatureStatistics()
    found = features.numeric(dataset, "image/side", counts, 10_000).num_stats
    values = np.repeat(list(counts), list(counts.values()))
    assert (found.min, found.max, found.num_zeros) == (values.min(), values.max(), (values == 0).sum())
    assert (found.mean, found.std_dev) == (pytest.approx(values.mean()), pytest.approx(values.std()))
    assert found.median == np.quantile(values, 0.5, method="inverted_cdf")
    assert found.common_stats.num_missing == 10_000 - len(values)
    quantiles, widths = found.histograms
    deciles = np.quantile(values, [i / 10 for i in range(11)], method="inverted_cdf").tolist()
    assert [bucket.low_value for bucket in quantiles.buckets] == deciles[:-1]
    assert [bucket.high_value for bucket in quantiles.buckets] == deciles[1:]
    assert sum(bucket.sample_count for bucket in widths.buckets) == len(values)


def test_photos_are_described_by_split_and_class(tmp_path, new_run):
    """Labels are 0, 1 and 2 in turn."""
    flat, board = (encoded(PIL.Image.fromarray(each), "PNG") for each in (FLAT, CHECKERBOARD))
    train = [flat, jpeg(None), board, flat, jpeg(0), board, encoded(photo((64, 32)).quantize(4), "GIF"), jpeg(6)]
    examples = encoded_examples(tmp_path / "own", train=train, test=[jpeg(1), jpeg(None)])
    described = describe.function(examples, run=new_run()).by_split()
    found = stored.rows(described["train"])
    assert found.keys() == {"", "0", "1", "2"}
    every, zero, one, two = (found[label] for label in ("", "0", "1", "2"))
    assert every["format"] == {"png": 4, "jpeg": 3, "gif": 1}
    assert every["mode"] == {"RGB": 7, "palette": 1}
    assert (every["images"], every["exif"], every["turned"]) == (8, 2 / 8, 1 / 8)
    assert (zero["format"], zero["mode"], zero["images"]) == ({"png": 2, "gif": 1}, {"RGB": 2, "palette": 1}, 3)
    assert (one["exif"], one["turned"]) == (2 / 3, 1 / 3)
    assert (zero["aspect"], zero["side"]) == ([1.0, 1.0, 2.0], [32, 64, 64])
    assert one["aspect"] == [1.5, 1.5, 1.5]  # 30 x 20, whatever its orientation, and as `encoded_examples` records it
    assert two["brightness"] == two["contrast"] == [128] * 3
    assert (two["sharpness"], two["bytes"]) == ([1_000_000] * 3, [photos.two_digits(len(board))] * 3)
    assert zero["contrast"][0] == zero["sharpness"][0] == 0
    test = stored.rows(described["test"])
    assert (test[""]["exif"], test[""]["turned"], test["0"]["exif"], test["1"]["exif"]) == (0.5, 0, 1, 0)
    orientation = next(each for each in described["train"].features if list(each.path.step) == ["image/orientation"])
    assert orientation.string_stats.common_stats.num_missing == 6  # no EXIF data: no orientation
    assert orientation.string_stats.unique == 2


def test_raw_images_have_no_photo_statistics(sample_statistics):
    for dataset in sample_statistics.by_split().values():
        assert stored.rows(dataset) == {}
    for part in (sample_statistics.path / "parts").glob("*.json"):
        assert '"photos"' not in part.read_text(encoding="utf-8")


def test_parts_of_older_versions_are_merged():
    new = counted([(HEADERS["RGB"][1], 0, 1)])
    assert '"photos": [[' in new.to_json()
    old = ImageStatistics.from_json(ImageStatistics(records=2).to_json())
    assert old.merge(new).photos == new.photos
    dataset = pb.DatasetFeatureStatistics()
    stored.add(dataset, old.merge(new).photos, 3)
    assert stored.rows(dataset)[""]["images"] == 1
    stored.add(empty := pb.DatasetFeatureStatistics(), Counter(), 3)
    assert stored.rows(empty) == {}
