"""Resolver `arrived`: complete spans, their order, dates and digests."""

import os
import re

import pytest

from schemas.errors import ConfigurationError
from schemas.settings.spans import READY
from tests import spans
from tests.spans import arrivals_of


def test_complete_spans_are_listed_in_numeric_order(tmp_path, data_dir, sample):
    images = spans.digits(data_dir, 0, 3)
    for name in ("span-10", "span-9"):
        spans.deliver(tmp_path, name, *images)
    incomplete = spans.deliver(tmp_path, "span-11", *images, ready=False)
    spans.deliver(tmp_path, "notes", *images)
    assert list(arrivals_of(tmp_path).spans) == ["span-9", "span-10"]
    assert list(arrivals_of(tmp_path, ready="rename").spans) == ["span-9", "span-10", "span-11"]
    (incomplete / READY).touch()
    assert list(arrivals_of(tmp_path).spans) == ["span-9", "span-10", "span-11"]


def test_an_altered_span_changes_the_digest(tmp_path, data_dir, sample):
    span = spans.deliver(tmp_path, "span-1", *spans.digits(data_dir, 0, 3))
    before = arrivals_of(tmp_path)
    assert arrivals_of(tmp_path).digest == before.digest
    image = next(span.glob("*/*.png"))
    image.write_bytes(image.read_bytes() + b" ")
    assert arrivals_of(tmp_path).digest != before.digest


def test_the_date_of_a_span_comes_from_its_name_or_its_marker(tmp_path, data_dir, sample):
    images = spans.digits(data_dir, 0, 3)
    spans.deliver(tmp_path, "span-2026-02-03", *images)
    spans.deliver(tmp_path, "span-20261331", *images)  # not a date
    for name in ("span-20261331", "span-7"):
        marker = (tmp_path / name / READY) if name != "span-7" else spans.deliver(tmp_path, name, *images) / READY
        os.utime(marker, (86_400 * 366, 86_400 * 366))
    assert arrivals_of(tmp_path).dates == {
        "span-7": "1971-01-02",
        "span-2026-02-03": "2026-02-03",
        "span-20261331": "1971-01-02",
    }


def test_a_missing_spans_directory_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=re.escape(f"spans.directory {tmp_path / 'no'} is not a directory")):
        arrivals_of(tmp_path / "no")
