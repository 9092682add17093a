"""collect and arrived: any damage quarantines only the damaged span, with the reason."""

import contextlib
import gzip
import io
import os
import re
import resource
import shutil
import struct
import tempfile
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from components._data.images import stated_pixels
from components.admit import admit
from components.collect import collect, write_piece
from components.sources.reading import Piece
from components.sources.span import SpanReader
from schemas.errors import ConfigurationError, DataError
from schemas.settings.spans import Drift
from schemas.settings.validate import Validate
from tests import spans
from tests.spans import arrivals_of, collected

ONE = "1 image (2.4%) cannot be read; spans.unreadable allows 1.0%:"
IMAGES, LABELS = "new-images-idx3-ubyte.gz", "new-labels-idx1-ubyte.gz"


@pytest.fixture(scope="module")
def digits(sample, data_dir):
    return spans.digits(data_dir, 0, 40)


# damaged content


def large_png(side):
    """A grey image of one colour, which compresses well."""
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # noqa: E731
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(side * (side + 1))))
        + chunk(b"IEND", b"")
    )


def idx(path, sides, content=b""):
    path.write_bytes(gzip.compress(bytes([0, 0, 8, len(sides)]) + np.array(sides, ">u4").tobytes() + content))


def damage_images(span, kind):
    (span / "3").mkdir(exist_ok=True)
    image = span / "3" / "x.png"
    if kind == "a folder called like an image":
        image.mkdir()
        return f"{image} is a folder with the name of an image"
    if kind == "a folder called like a TFRecord":
        (span / "new.tfrecord").mkdir()
        return f"{span / 'new.tfrecord'} is not a label: without spans.labels, folders are named by the label's number"
    if kind == "a pipe":
        os.mkfifo(image)
        return f"{image} is a pipe, a socket or a device; a span holds plain files only"
    if kind == "a label of 23 digits":
        (span / ("9" * 23)).mkdir()
        return f"{span / ('9' * 23)} is not a label: without spans.labels, folders are named by the label's number"
    image.write_bytes(large_png(10_000))
    return f"{ONE} {image} has 100,000,000 pixels; the limit is 67,108,864"


def damage_idx(span, kind):
    images, labels = span / IMAGES, span / LABELS
    if kind == "images and labels swapped":
        images.rename(span / "kept")
        labels.rename(images)
        (span / "kept").rename(labels)
        return f"{images} holds an array of 1 dimensions; images have 3, or 4 with channels"
    if kind == "labels of two dimensions":
        idx(labels, (40, 1), bytes(40))
        return f"{labels} holds an array of 2 dimensions; labels have 1"
    if kind == "no dimensions":
        idx(images, (), b"\0")
        return f"{images} holds an array of 0 dimensions; images have 3, or 4 with channels"
    if kind == "no pixels":
        idx(images, (40, 0, 28))
        return f"{images} holds images without pixels"
    if kind == "three bytes":
        images.write_bytes(b"\0\0\x08")
        return f"{images} is not a complete IDX file: it has no IDX header for unsigned bytes"
    idx(images, (2**32 - 1,) * 3)
    return f"{images} is not a complete IDX file: its header states {(2**32 - 1) ** 3:,} bytes"


def damage_records(span, kind):
    import tensorflow as tf

    path = span / "new.tfrecord"
    if kind == "sides whose product overflows":
        integers = {"label": 3, "image/height": 2**32, "image/width": 2**32, "image/channels": 1}
        features = {name: tf.train.Feature(int64_list=tf.train.Int64List(value=[n])) for name, n in integers.items()}
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
        one = ONE.replace("2.4%", "100.0%")
        return f"{one} record 0 of {path} holds no image"
    path.write_bytes(bytes.fromhex("00c06e31d9100100e5d5d135") + b"abc")  # a length of 300 TB with its checksum
    return f"{path} is cut short or altered: a record of 300,000,000,000,000 bytes does not fit into it"


DAMAGES = [
    *(
        ("images", damage_images, kind)
        for kind in ("a folder called like an image", "a folder called like a TFRecord", "a pipe")
    ),
    *(("images", damage_images, kind) for kind in ("a label of 23 digits", "a PNG of 100 million pixels")),
    *(
        ("idx", damage_idx, kind)
        for kind in ("images and labels swapped", "labels of two dimensions", "no dimensions", "no pixels")
    ),
    *(("idx", damage_idx, kind) for kind in ("three bytes", "sides that no file has")),
    *(("records", damage_records, kind) for kind in ("sides whose product overflows", "a record longer than its file")),
]


@pytest.mark.parametrize(("layout", "damage", "kind"), DAMAGES, ids=[kind for _, _, kind in DAMAGES])
def test_a_damaged_span_is_quarantined_with_the_reason_and_others_are_collected(
    layout, damage, kind, tmp_path, digits, new_run
):
    spans.deliver(tmp_path, "span-1", *digits)
    message = damage(spans.deliver(tmp_path, "span-2", *digits, layout), kind)
    collected_spans = collected(tmp_path, new_run())
    assert collected_spans.spans["span-2"].broken == message
    assert (collected_spans.spans["span-1"].broken, collected_spans.spans["span-1"].count) == ("", 40)
    assert {p.name for p in (collected_spans.path / "span-2").iterdir()} == {"broken.json", "mark.json"}


def test_an_unexpected_error_is_reported_with_its_type():
    with pytest.raises(DataError, match=r"^data: a\0b cannot be read: ValueError: embedded null byte"):
        list(SpanReader(Path("a"), (), 1).read(Piece(("train",), "span", 0, 1, 0, ("a\0b",)), "raw"))


def test_a_label_of_18_digits_is_quarantined_by_the_contract(tmp_path, digits, new_run, sample_statistics, mnist):
    span = spans.deliver(tmp_path, "span-1", *digits)
    (span / "3").rename(span / ("9" * 18))
    collected_spans = collected(tmp_path, new_run())
    admission = admit.function(
        collected_spans, sample_statistics, None, contract=mnist, checks=Validate(), drift=Drift(), run=new_run()
    )
    assert f"span-1: label is {'9' * 18}" in admission.quarantined["span-1"]


def test_the_pixels_of_all_frames_of_a_gif_are_counted():
    frame = b",\0\0\0\0" + struct.pack("<HH", 9000, 9000) + b"\0\x02\x01\0\0"
    extension = b"!\xf9\x04\0\0\0\0\0"
    header = b"GIF89a" + struct.pack("<HH", 28, 28) + b"\x80\0\0" + bytes(6)
    assert stated_pixels(header + extension + frame + extension + frame + b";") == 2 * 9000**2
    assert stated_pixels(header) == 28 * 28
    assert stated_pixels(imagecodecs.jpeg_encode(np.zeros((20, 30, 3), np.uint8))) == 600
    assert stated_pixels(imagecodecs.png_encode(np.zeros((20, 30), np.uint8))) == 600


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0"}], ids=["lossy", "lossless", "exif"])
def test_the_size_of_a_webp_is_read_from_its_header(mode, options):
    buffer = io.BytesIO()
    Image.new(mode, (123, 457)).save(buffer, "WEBP", **options)
    assert stated_pixels(buffer.getvalue()) == 123 * 457


# missing permissions


@contextlib.contextmanager
def without_root():
    """Drops root's permission to read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def open_directory():
    """A directory that other users can read: pytest's directories belong to root only."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        for path in Path(folder).rglob("*"):
            path.chmod(0o755)


@pytest.mark.parametrize("ready", ["marker", "rename"])
@pytest.mark.parametrize(("inside", "denied"), [("", ""), ("3", "3"), ("3/0000.png", "3/0000.png")])
def test_a_span_without_read_permission_does_not_stop_planning(inside, denied, ready, open_directory, digits):
    images, labels = digits
    spans.deliver(open_directory, "span-1", images, labels)
    span = spans.deliver(open_directory, "span-2", images[:1], np.array([3]))
    list(spans.read(span, 10))  # lazy imports need root
    (span / inside).chmod(0)
    with without_root():
        arrivals = arrivals_of(open_directory, ready=ready)
        with pytest.raises(
            DataError, match=f"^data: {re.escape(str(span / denied))} cannot be read: Permission denied"
        ):
            list(spans.read(span, 10))
    assert list(arrivals.spans) == ["span-1", "span-2"]
    (span / inside).chmod(0o755)
    assert arrivals_of(open_directory, ready=ready).spans["span-2"] != arrivals.spans["span-2"]  # it is read again
    assert arrivals_of(open_directory, ready=ready).spans["span-1"] == arrivals.spans["span-1"]


def test_a_spans_directory_without_read_permission_is_refused(open_directory):
    open_directory.chmod(0)
    with (
        without_root(),
        pytest.raises(ConfigurationError, match=f"spans.directory {open_directory} cannot be read: Permission denied"),
    ):
        arrivals_of(open_directory)
    open_directory.chmod(0o755)


def test_a_span_removed_during_collect_is_quarantined_and_collected_when_restored(tmp_path, digits, new_run):
    for name in ("span-1", "span-2"):
        spans.deliver(tmp_path / "data", name, *digits)
    arrivals = arrivals_of(tmp_path / "data")
    (tmp_path / "data" / "span-2").rename(tmp_path / "away")
    collected_spans = collect.function(arrivals, **spans.READING, run=new_run())
    assert (
        collected_spans.spans["span-2"].broken
        == f"{tmp_path / 'data' / 'span-2'} cannot be read: No such file or directory"
    )
    assert collected_spans.spans["span-1"].count == 40
    (tmp_path / "away").rename(tmp_path / "data" / "span-2")
    next_run = new_run(previous_artifacts=[collected_spans])
    assert collect.function(arrivals, **spans.READING, run=next_run).spans["span-2"].count == 40


def test_an_image_removed_while_reading_is_named(tmp_path, digits):
    span = spans.deliver(tmp_path, "span-1", *digits)
    reader = SpanReader(span, (), 100)
    piece = reader.pieces()[0]
    shutil.rmtree(span)
    first = re.escape(str(span / piece.files[0]))
    with pytest.raises(DataError, match=f"^data: {first} cannot be read: No such file or directory"):
        list(reader.read(piece, "raw"))


def test_a_full_disk_does_not_quarantine_the_span(tmp_path, digits):
    """Simulated by a limit of 10 KB per file; the shard has 35."""
    span = spans.deliver(tmp_path, "span-1", *digits)
    reader = SpanReader(span, (), 100)
    piece = reader.pieces()[0]
    out = tmp_path / "out" / "span-1"
    out.mkdir(parents=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(Exception, match="File too large") as error:
            write_piece(reader, piece, out=out.parent, encoding="raw")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not isinstance(error.value, DataError)
    assert list(out.iterdir()) == []
