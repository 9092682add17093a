"""collect: spans become records incrementally; an unreadable span is quarantined with the reason."""

import json
import shutil

import pytest

from components._data.images import SUFFIXES
from schemas import files
from tests import spans
from tests.spans import collected


def damage(span, kind):
    one, allowed = "1 image", "cannot be read; spans.unreadable allows 1.0%:"
    if kind == "a folder that is not a label":
        (span / "three").mkdir()
        return f"{span / 'three'} is not a label: without spans.labels, folders are named by the label's number"
    if kind == "a file that is not an image":
        (span / "3" / "notes.txt").write_text("?", encoding="utf-8")
        return f"{one} (2.4%) {allowed} {span / '3' / 'notes.txt'} is not an image; {', '.join(SUFFIXES)} are supported"
    if kind == "two layouts":
        (span / "new.tfrecord").touch()
        return f"{span} holds 0 and new.tfrecord; a span must contain one form only"
    if kind == "a link":
        (span / "3" / "x.png").symlink_to(span / "3" / "y.png")
        return f"{span / '3' / 'x.png'} is a symbolic link; a span holds plain files only"
    if kind == "something else":
        (span / "labels.csv").touch()
        return f"{span / 'labels.csv'} is neither a folder of images, an IDX file nor a TFRecord"
    image = min((span / "3").iterdir())
    image.write_bytes(image.read_bytes()[:60])
    return f"{one} (2.5%) {allowed} {image} cannot be decoded as an image"


KINDS = [
    "a folder that is not a label",
    "a file that is not an image",
    "two layouts",
    "a link",
    "something else",
    "a damaged image",
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_unreadable_span_is_quarantined_with_the_reason_and_others_are_collected(
    kind, tmp_path, data_dir, sample, new_run
):
    images, labels = spans.digits(data_dir, 0, 40)
    spans.deliver(tmp_path, "span-1", images, labels)
    message = damage(spans.deliver(tmp_path, "span-2", images, labels), kind)
    collected_spans = collected(tmp_path, new_run())
    assert collected_spans.spans["span-2"].broken == message
    assert (collected_spans.spans["span-1"].broken, collected_spans.spans["span-1"].count) == ("", 40)
    assert {p.name for p in (collected_spans.path / "span-2").iterdir()} == {"broken.json", "mark.json"}


def truncate(path, length):
    path.write_bytes(path.read_bytes()[:length])


@pytest.mark.parametrize(
    ("layout", "file", "length", "message"),
    [
        ("idx", "new-images-idx3-ubyte.gz", 60, "is not a complete IDX file"),
        ("idx", "new-images-idx3-ubyte.gz", 0, "it has no IDX header"),
        ("records", "new.tfrecord", 5000, "is cut short or altered"),
    ],
)
def test_a_truncated_span_is_quarantined(layout, file, length, message, tmp_path, data_dir, sample, new_run):
    span = spans.deliver(tmp_path, "span-1", *spans.digits(data_dir, 0, 20), layout)
    truncate(span / file, length)
    reason = collected(tmp_path, new_run()).spans["span-1"].broken
    assert str(span / file) in reason
    assert message in reason


def test_a_mismatched_idx_pair_is_quarantined(tmp_path, data_dir, sample, new_run):
    images, labels = spans.digits(data_dir, 0, 20)
    span = spans.deliver(tmp_path, "span-1", images, labels[:19], "idx")
    message = f"{span}/new-images-idx3-ubyte.gz holds 20 images, {span}/new-labels-idx1-ubyte.gz 19 labels"
    assert collected(tmp_path, new_run()).spans["span-1"].broken == message
    (span / "new-labels-idx1-ubyte.gz").unlink()
    assert (
        collected(tmp_path, new_run()).spans["span-1"].broken == f"{span} holds 1 IDX files of images and 0 of labels"
    )


def test_images_are_distributed_over_the_splits(three_spans, delivered_spans, data_dir):
    span = three_spans.spans["span-0001"]
    assert list(span.splits) == ["train", "validation", "fresh"]
    assert span.count == 100
    assert {split: 0 < split_.count < 100 for split, split_ in span.splits.items()} == dict.fromkeys(span.splits, True)
    assert span.splits["train"].count > 50


def test_only_new_spans_are_read_and_others_are_linked(three_spans, delivered_spans, tmp_path, data_dir, new_run):
    for span in delivered_spans.iterdir():
        (tmp_path / span.name).symlink_to(span)
    spans.deliver(tmp_path, "span-0003", *spans.digits(data_dir, 300, 50))
    run = new_run(previous_artifacts=[three_spans])
    collected_spans = collected(tmp_path, run)
    assert run.logged == ["1 new of 4 spans, 50 images"]
    for name in json.loads((three_spans.path / files.MANIFEST).read_text(encoding="utf-8"))["files"]:
        assert (collected_spans.path / name).read_bytes() == (three_spans.path / name).read_bytes()
    linked = collected_spans.path / "span-0001" / collected_spans.spans["span-0001"].splits["train"].shards[0]
    assert linked.stat().st_ino == (three_spans.path / linked.relative_to(collected_spans.path)).stat().st_ino


def test_a_span_with_altered_records_is_read_again(three_spans, delivered_spans, tmp_path, new_run):
    copy = tmp_path / "copy"
    shutil.copytree(three_spans.path, copy)
    shard = copy / "span-0001" / three_spans.spans["span-0001"].splits["train"].shards[0]
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    run = new_run(previous_artifacts=[type(three_spans)(copy, spans=three_spans.spans)])
    collected_spans = collected(delivered_spans, run)
    assert run.logged == ["1 new of 3 spans, 100 images"]
    assert files.listing(collected_spans.path) == files.listing(three_spans.path)
