"""collect: spans become records, incrementally; an unreadable span is quarantined with the reason."""

import json
import shutil

import pytest

from components._data.images import SUFFIXES
from schemas import files
from tests import spans
from tests.spans import collected


def broken(span, kind):
    one, allowed = "1 image", "cannot be read; spans.unreadable allows 1.0%:"
    if kind == "a folder that is no label":
        (span / "three").mkdir()
        return f"{span / 'three'} is not a label: without spans.labels, folders are named by the label's number"
    if kind == "a file that is no image":
        (span / "3" / "notes.txt").write_text("?", encoding="utf-8")
        return f"{one} (2.4%) {allowed} {span / '3' / 'notes.txt'} is not an image; {', '.join(SUFFIXES)} are supported"
    if kind == "two forms":
        (span / "new.tfrecord").touch()
        return f"{span} holds 0 and new.tfrecord: images in more than one form"
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
    "a folder that is no label",
    "a file that is no image",
    "two forms",
    "a link",
    "something else",
    "a damaged image",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_span_that_cannot_be_read_is_kept_out_with_the_reason_and_the_others_go_on(
    kind, tmp_path, data_dir, sample, lend
):
    images, labels = spans.digits(data_dir, 0, 40)
    spans.deliver(tmp_path, "span-1", images, labels)
    words = broken(spans.deliver(tmp_path, "span-2", images, labels), kind)
    found = collected(tmp_path, lend())
    assert found.spans["span-2"].broken == words
    assert (found.spans["span-1"].broken, found.spans["span-1"].count) == ("", 40)
    assert {p.name for p in (found.path / "span-2").iterdir()} == {"broken.json", "mark.json"}


def cut(path, to):
    path.write_bytes(path.read_bytes()[:to])


@pytest.mark.parametrize(
    ("form", "file", "to", "words"),
    [
        ("idx", "new-images-idx3-ubyte.gz", 60, "is not a complete IDX file"),
        ("idx", "new-images-idx3-ubyte.gz", 0, "it does not begin like an IDX file"),
        ("records", "new.tfrecord", 5000, "is cut short or altered"),
    ],
)
def test_a_span_that_was_cut_short_is_kept_out(form, file, to, words, tmp_path, data_dir, sample, lend):
    span = spans.deliver(tmp_path, "span-1", *spans.digits(data_dir, 0, 20), form)
    cut(span / file, to)
    found = collected(tmp_path, lend()).spans["span-1"].broken
    assert str(span / file) in found
    assert words in found


def test_an_idx_pair_must_agree(tmp_path, data_dir, sample, lend):
    images, labels = spans.digits(data_dir, 0, 20)
    span = spans.deliver(tmp_path, "span-1", images, labels[:19], "idx")
    message = f"{span}/new-images-idx3-ubyte.gz holds 20 images, {span}/new-labels-idx1-ubyte.gz 19 labels"
    assert collected(tmp_path, lend()).spans["span-1"].broken == message
    (span / "new-labels-idx1-ubyte.gz").unlink()
    assert collected(tmp_path, lend()).spans["span-1"].broken == f"{span} holds 1 IDX files of images and 0 of labels"


def test_images_are_spread_over_the_splits_by_their_pixels(three_spans, delivered_spans, data_dir):
    found = three_spans.spans["span-0001"]
    assert list(found.splits) == ["train", "validation", "fresh"]
    assert found.count == 100
    assert {split: 0 < each.count < 100 for split, each in found.splits.items()} == dict.fromkeys(found.splits, True)
    assert found.splits["train"].count > 50


def test_only_new_spans_are_read_and_the_others_are_as_they_were(
    three_spans, delivered_spans, tmp_path, data_dir, lend
):
    for span in delivered_spans.iterdir():
        (tmp_path / span.name).symlink_to(span)
    spans.deliver(tmp_path, "span-0003", *spans.digits(data_dir, 300, 50))
    run = lend(before=[three_spans])
    found = collected(tmp_path, run)
    assert run.logged == ["1 new of 4 spans, 50 images"]
    for name in json.loads((three_spans.path / files.MANIFEST).read_text(encoding="utf-8"))["files"]:
        assert (found.path / name).read_bytes() == (three_spans.path / name).read_bytes()
    linked = found.path / "span-0001" / found.spans["span-0001"].splits["train"].shards[0]
    assert linked.stat().st_ino == (three_spans.path / linked.relative_to(found.path)).stat().st_ino


def test_a_span_whose_records_were_altered_since_is_read_anew(three_spans, delivered_spans, tmp_path, lend):
    copy = tmp_path / "copy"
    shutil.copytree(three_spans.path, copy)
    shard = copy / "span-0001" / three_spans.spans["span-0001"].splits["train"].shards[0]
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    run = lend(before=[type(three_spans)(copy, spans=three_spans.spans)])
    found = collected(delivered_spans, run)
    assert run.logged == ["1 new of 3 spans, 100 images"]
    assert files.listing(found.path) == files.listing(three_spans.path)
