"""Images and labels of a span in every layout: folders of images, IDX files, TFRecords."""

import shutil

import numpy as np
import pytest

from components._data.images import decoder
from components.sources.span import SpanReader
from schemas.errors import DataError
from tests import spans


@pytest.mark.parametrize("layout", ["images", "idx", "records"])
def test_every_layout_yields_the_delivered_images_and_labels(layout, tmp_path, data_dir, sample):
    images, labels = spans.digits(data_dir, 0, 20)
    span = spans.deliver(tmp_path, "span-1", images, labels, layout)
    pairs = [(image, label) for image, label, _ in spans.read(span, 7)]
    sorted_pairs = lambda items: sorted((label, image.tobytes()) for image, label in items)  # noqa: E731
    assert sorted_pairs(pairs) == sorted_pairs(zip(images, labels.tolist(), strict=True))
    assert {image.shape for image, _ in pairs} == {(28, 28, 1)}
    for encoded, raw in zip(spans.read(span, 7, "encoded"), pairs, strict=True):
        assert np.array_equal(decoder(0)(encoded[2]), raw[0])


def test_folders_can_be_named_by_label_names(tmp_path, data_dir, sample):
    images, labels = spans.digits(data_dir, 0, 10)
    span = spans.deliver(tmp_path, "span-1", images, labels)
    names = [f"digit {i}" for i in range(10)]
    for folder in span.glob("?"):
        folder.rename(span / f"digit {folder.name}")
    assert sorted(label for _, label, _ in spans.read(span, 100, labels=names)) == sorted(labels.tolist())


def test_folders_match_labels_in_either_unicode_form(tmp_path, data_dir, sample):
    """macOS and some archives write "é" as two characters, a keyboard writes one."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    images, labels = spans.digits(data_dir, 0, 10)
    span = spans.deliver(tmp_path, "span-1", images, labels)
    folders = sorted(span.glob("?"))
    for folder in folders[1:]:
        shutil.rmtree(folder)
    folders[0].rename(span / decomposed)
    assert {label for _, label, _ in spans.read(span, 100, labels=["tea", composed])} == {1}
    shutil.copytree(span / decomposed, span / composed)
    with pytest.raises(DataError) as error:
        SpanReader(span, ("tea", composed), 100).pieces()
    paths = f"{span / decomposed} and {span / composed}"
    assert error.value.cause == f"{paths} have the same name in two Unicode forms"


def test_files_of_file_managers_are_ignored(tmp_path, data_dir, sample):
    span = spans.deliver(tmp_path, "span-1", *spans.digits(data_dir, 0, 40))
    for folder in (span, span / "3"):
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
            (folder / name).write_text("?", encoding="utf-8")
    assert len(list(spans.read(span, 7))) == 40
