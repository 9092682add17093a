"""Names and dates of spans: none quarantines the others, ends the run or controls a terminal."""

import os
import re
import tempfile
from pathlib import Path

import pytest

from components.mix import mix
from schemas.settings.spans import READY, Window, called, fit, shown
from tests import spans
from tests.spans import admitted, collected, come


@pytest.fixture(scope="module")
def digits(sample, data_dir):
    return spans.digits(data_dir, 0, 40)


def mixed(examples, statistics, found, admission, run, *, weight=1.0, **window):
    return mix.function(
        examples, statistics, found, admission, window=Window(**window), weight=weight, base_weight=1.0, run=run
    )


# what they are called


@pytest.mark.parametrize(
    ("name", "goes_by"),
    [
        (os.fsdecode(b"span-2\xff"), r"span-2\\udcff\\[0-9a-f]{8}"),
        ("span-2\x1b[31m\n", r"span-2\\x1b\[31m\\n\\[0-9a-f]{8}"),
        ("span-2\\x", r"span-2\\x\\[0-9a-f]{8}"),
        ("span-2" + "0" * 239, r"span-20{34}\\[0-9a-f]{8}"),
    ],
    ids=["not UTF-8", "control characters", "a backslash", "245 characters"],
)
def test_a_span_whose_name_cannot_be_shown_or_is_too_long_is_kept_out(name, goes_by, tmp_path, digits, lend):
    spans.deliver(tmp_path, "span-1", *digits)
    spans.deliver(tmp_path, name, *digits)
    found = collected(tmp_path, lend())
    (other,) = found.spans.keys() - {"span-1"}
    assert re.fullmatch(goes_by, other)
    words = "a span's name may have at most 128 bytes, no backslash and only printable characters"
    assert found.spans[other].broken == f"{tmp_path / other}: {words}"
    assert found.spans["span-1"].count == 40


def test_a_name_that_is_fit_is_kept_and_others_differ_from_each_other():
    for name in ("span-1", "span-2026-11-07 été", "span-" + "x" * 123):
        assert (fit(name), called(name)) == (True, name)
    others = ["span-\x1b", "span-\\x1b", "span-" + "x" * 124, "span-" + "x" * 125, "span-" + "\U0001f600" * 60]
    assert not any(map(fit, others))
    assert not any(fit(called(name)) for name in others)
    assert len({called(name) for name in others}) == len(others)
    assert max(len(called(name).encode()) for name in others) <= 255


def test_names_of_files_reach_no_terminal_raw(tmp_path, digits, lend):
    span = spans.deliver(tmp_path, "span-1", *digits)
    (span / os.fsdecode(b"\x1b[31m\xff.csv")).touch()
    words = collected(tmp_path, lend()).spans["span-1"].broken
    assert words == f"{span}/\\x1b[31m\\udcff.csv is neither a folder of images, an IDX file nor a TFRecord"
    assert shown(words) == words


@pytest.mark.parametrize("form", ["images", "idx", "records"])
def test_names_of_files_may_be_any_bytes(form, tmp_path, digits, lend):
    span = spans.deliver(tmp_path, "span-1", *digits, form)
    for path in [p for p in span.rglob("*") if p.is_file() and p.name != READY]:
        path.rename(path.with_name(os.fsdecode(b"\xff") + path.name))
    found = collected(tmp_path, lend()).spans["span-1"]
    assert (found.broken, found.count) == ("", 40)


def test_the_longest_name_goes_through_the_line(tmp_path, digits, sample, sample_statistics, lend):
    name = "span-" + "x" * 123
    spans.deliver(tmp_path, name, *digits)
    found = collected(tmp_path, lend())
    assert mixed(sample, sample_statistics, found, admitted(lend(), name), lend(), weight=1.5).spans == (name,)


# when they came


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="ext4 keeps no date of such a year, Linux's memory does")
def test_a_clock_that_was_far_ahead_gives_the_first_date(digits):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        span = spans.deliver(Path(directory), "span-1", *digits, ready=False)
        os.utime(span, (2**40, 2**40))
        assert span.stat().st_mtime == 2**40
        assert come(directory, ready="rename").dates == {"span-1": "0001-01-01"}


def test_a_mistyped_date_of_a_span_that_is_kept_out_moves_no_window(tmp_path, digits, sample, sample_statistics, lend):
    spans.deliver(tmp_path, "span-2026-11-05", *digits)
    (spans.deliver(tmp_path, "span-2062-11-06", *digits) / "notes.txt").touch()
    found, admission = collected(tmp_path, lend()), admitted(lend(), "span-2026-11-05")
    for days in (90, 10**10):
        run = lend()
        assert mixed(sample, sample_statistics, found, admission, run, days=days).spans == ("span-2026-11-05",)
        assert not any("warning" in said for said in run.logged)


def test_a_window_that_leaves_no_span_though_some_were_admitted_is_warned_of(
    tmp_path, digits, sample, sample_statistics, lend
):
    for name in ("span-1", "span-2"):
        spans.deliver(tmp_path, name, *digits)
    found, run = collected(tmp_path, lend()), lend()
    mixed(sample, sample_statistics, found, admitted(lend(), "span-1"), run, only=["span-2"])
    assert run.logged[0] == "warning: spans.window leaves none of 1 admitted spans to train on"
