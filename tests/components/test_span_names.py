"""Names and dates of spans: none affects other spans, the run or the terminal."""

import os
import re
import tempfile
from pathlib import Path

import pytest

from components.mix import mix
from schemas.settings.spans import READY, Window, is_valid_name, printable_name, shown
from tests import spans
from tests.spans import admission_of, arrivals_of, collected


@pytest.fixture(scope="module")
def digits(sample, data_dir):
    return spans.digits(data_dir, 0, 40)


def mix_spans(examples, statistics, collected_spans, admission, run, *, weight=1.0, **window):
    return mix.function(
        examples,
        statistics,
        collected_spans,
        admission,
        window=Window(**window),
        weight=weight,
        base_weight=1.0,
        run=run,
    )


# names


@pytest.mark.parametrize(
    ("name", "shown_name"),
    [
        (os.fsdecode(b"span-2\xff"), r"span-2\\udcff\\[0-9a-f]{8}"),
        ("span-2\x1b[31m\n", r"span-2\\x1b\[31m\\n\\[0-9a-f]{8}"),
        ("span-2\\x", r"span-2\\x\\[0-9a-f]{8}"),
        ("span-2" + "0" * 239, r"span-20{34}\\[0-9a-f]{8}"),
    ],
    ids=["not UTF-8", "control characters", "a backslash", "245 characters"],
)
def test_a_span_with_an_invalid_name_is_quarantined(name, shown_name, tmp_path, digits, new_run):
    spans.deliver(tmp_path, "span-1", *digits)
    spans.deliver(tmp_path, name, *digits)
    collected_spans = collected(tmp_path, new_run())
    (other,) = collected_spans.spans.keys() - {"span-1"}
    assert re.fullmatch(shown_name, other)
    message = "a span's name may have at most 128 bytes, no backslash and only printable characters"
    assert collected_spans.spans[other].broken == f"{tmp_path / other}: {message}"
    assert collected_spans.spans["span-1"].count == 40


def test_valid_names_are_kept_and_invalid_ones_replaced_by_unique_ones():
    for name in ("span-1", "span-2026-11-07 été", "span-" + "x" * 123):
        assert (is_valid_name(name), printable_name(name)) == (True, name)
    invalid_names = ["span-\x1b", "span-\\x1b", "span-" + "x" * 124, "span-" + "x" * 125, "span-" + "\U0001f600" * 60]
    assert not any(map(is_valid_name, invalid_names))
    assert not any(is_valid_name(printable_name(name)) for name in invalid_names)
    assert len({printable_name(name) for name in invalid_names}) == len(invalid_names)
    assert max(len(printable_name(name).encode()) for name in invalid_names) <= 255


def test_control_characters_in_file_names_are_escaped(tmp_path, digits, new_run):
    span = spans.deliver(tmp_path, "span-1", *digits)
    (span / os.fsdecode(b"\x1b[31m\xff.csv")).touch()
    message = collected(tmp_path, new_run()).spans["span-1"].broken
    assert message == f"{span}/\\x1b[31m\\udcff.csv is neither a folder of images, an IDX file nor a TFRecord"
    assert shown(message) == message


@pytest.mark.parametrize("layout", ["images", "idx", "records"])
def test_file_names_can_be_any_bytes(layout, tmp_path, digits, new_run):
    span = spans.deliver(tmp_path, "span-1", *digits, layout)
    for path in [p for p in span.rglob("*") if p.is_file() and p.name != READY]:
        path.rename(path.with_name(os.fsdecode(b"\xff") + path.name))
    span_ = collected(tmp_path, new_run()).spans["span-1"]
    assert (span_.broken, span_.count) == ("", 40)


def test_the_longest_name_works_in_all_stages(tmp_path, digits, sample, sample_statistics, new_run):
    name = "span-" + "x" * 123
    spans.deliver(tmp_path, name, *digits)
    collected_spans = collected(tmp_path, new_run())
    assert mix_spans(
        sample, sample_statistics, collected_spans, admission_of(new_run(), name), new_run(), weight=1.5
    ).spans == (name,)


# dates


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="ext4 keeps no date of such a year, Linux's memory does")
def test_a_date_far_in_the_future_becomes_the_first_date(digits):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        span = spans.deliver(Path(directory), "span-1", *digits, ready=False)
        os.utime(span, (2**40, 2**40))
        assert span.stat().st_mtime == 2**40
        assert arrivals_of(directory, ready="rename").dates == {"span-1": "0001-01-01"}


def test_the_date_of_a_quarantined_span_does_not_move_the_window(tmp_path, digits, sample, sample_statistics, new_run):
    spans.deliver(tmp_path, "span-2026-11-05", *digits)
    (spans.deliver(tmp_path, "span-2062-11-06", *digits) / "notes.txt").touch()
    collected_spans, admission = collected(tmp_path, new_run()), admission_of(new_run(), "span-2026-11-05")
    for days in (90, 10**10):
        run = new_run()
        assert mix_spans(sample, sample_statistics, collected_spans, admission, run, days=days).spans == (
            "span-2026-11-05",
        )
        assert not any("warning" in line for line in run.logged)


def test_a_window_without_any_admitted_span_is_a_warning(tmp_path, digits, sample, sample_statistics, new_run):
    for name in ("span-1", "span-2"):
        spans.deliver(tmp_path, name, *digits)
    collected_spans, run = collected(tmp_path, new_run()), new_run()
    mix_spans(sample, sample_statistics, collected_spans, admission_of(new_run(), "span-1"), run, only=["span-2"])
    assert run.logged[0] == "warning: spans.window leaves none of 1 admitted spans to train on"
