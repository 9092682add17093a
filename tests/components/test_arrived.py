"""Resolver `arrived`: complete spans, their order, dates and digests."""

import os
import re

import pytest

from schemas.errors import ConfigurationError
from schemas.settings.spans import READY
from tests import spans
from tests.spans import come


def test_spans_appear_when_they_are_complete_in_the_order_of_their_numbers(tmp_path, data_dir, sample):
    images = spans.digits(data_dir, 0, 3)
    for name in ("span-10", "span-9"):
        spans.deliver(tmp_path, name, *images)
    unready = spans.deliver(tmp_path, "span-11", *images, ready=False)
    spans.deliver(tmp_path, "notes", *images)
    assert list(come(tmp_path).spans) == ["span-9", "span-10"]
    assert list(come(tmp_path, ready="rename").spans) == ["span-9", "span-10", "span-11"]
    (unready / READY).touch()
    assert list(come(tmp_path).spans) == ["span-9", "span-10", "span-11"]


def test_a_span_that_is_altered_is_another_span(tmp_path, data_dir, sample):
    span = spans.deliver(tmp_path, "span-1", *spans.digits(data_dir, 0, 3))
    before = come(tmp_path)
    assert come(tmp_path).digest == before.digest
    image = next(span.glob("*/*.png"))
    image.write_bytes(image.read_bytes() + b" ")
    assert come(tmp_path).digest != before.digest


def test_a_spans_date_is_in_its_name_or_that_of_its_marker(tmp_path, data_dir, sample):
    images = spans.digits(data_dir, 0, 3)
    spans.deliver(tmp_path, "span-2026-02-03", *images)
    spans.deliver(tmp_path, "span-20261331", *images)  # no date
    for name in ("span-20261331", "span-7"):
        marker = (tmp_path / name / READY) if name != "span-7" else spans.deliver(tmp_path, name, *images) / READY
        os.utime(marker, (86_400 * 366, 86_400 * 366))
    assert come(tmp_path).dates == {
        "span-7": "1971-01-02",
        "span-2026-02-03": "2026-02-03",
        "span-20261331": "1971-01-02",
    }


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=re.escape(f"spans.directory {tmp_path / 'no'} is not a directory")):
        come(tmp_path / "no")
