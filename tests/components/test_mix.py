"""mix: the base dataset and the admitted spans within the window become one dataset."""

import json
import re

import pytest

from components.describe import describe
from components.mix import mix
from pipeline.store.store import facts, from_facts
from schemas import files
from schemas.errors import ConfigurationError
from schemas.settings.spans import Window
from tests import spans
from tests.components import pictures
from tests.components.span_stages import ALL, judged
from tests.spans import collected


def test_the_mixture_is_described_as_if_it_had_been_described_at_once(mixed, base, lend):
    whole = describe.function(mixed, run=lend())
    for name in ("stats.tfrecord", "leaked.json", "leaked-fresh.json"):
        assert (whole.path / name).read_bytes() == (mixed.path / name).read_bytes()
    assert mixed.counts == {split: each.count for split, each in mixed.splits.items()} == whole.counts


def test_the_test_split_stays_as_it_is_and_the_newest_span_gives_a_fresh_slice(mixed, base, three_spans):
    assert mixed.test == base.test
    assert pictures.records(mixed, "test") == pictures.records(base, "test")
    newest = three_spans.spans["span-0002"].splits
    assert (mixed.fresh, mixed.splits["fresh"].count) == ("span-0002", newest["fresh"].count)
    learnt = {image for split in ("train", "validation") for image in pictures.columns(mixed, split)["image"].tolist()}
    assert not learnt & set(pictures.columns(mixed, "fresh")["image"].tolist())
    older = sum(three_spans.spans[name].count for name in ("span-0000", "span-0001"))
    train_and_validation = mixed.splits["train"].count + mixed.splits["validation"].count
    assert (
        train_and_validation
        == base.splits["train"].count + base.splits["validation"].count + older + 100 - newest["fresh"].count
    )


@pytest.mark.parametrize(
    ("window", "chosen"),
    [
        ({"last": 2}, ("span-0001", "span-0002")),
        ({"only": ["span-0000"]}, ("span-0000",)),
        ({"days": 1}, ("span-0000", "span-0001", "span-0002")),
        ("all", ("span-0000", "span-0001", "span-0002")),
    ],
)
def test_the_window_chooses(window, chosen, base, base_statistics, three_spans, mnist, lend):
    admission = judged(three_spans, base_statistics, mnist, lend())
    found = mix.function(
        base, base_statistics, three_spans, admission, **(ALL | {"window": Window.model_validate(window)}), run=lend()
    )
    assert found.spans == chosen
    assert found.fresh == chosen[-1]


def test_a_window_of_days_counts_from_the_newest_span(base, base_statistics, data_dir, tmp_path, mnist, lend):
    for i, date in enumerate(("2026-01-01", "2026-01-30", "2026-01-31")):
        spans.deliver(tmp_path, f"span-{date}", *spans.digits(data_dir, i * 20, 20), "idx")
    found = collected(tmp_path, lend())
    admission = judged(found, base_statistics, mnist, lend(), brightness=9, labels=1.0, pixels=9)
    within = mix.function(base, base_statistics, found, admission, **(ALL | {"window": Window(days=2)}), run=lend())
    assert within.spans == ("span-2026-01-30", "span-2026-01-31")


def test_a_window_that_names_no_span_is_refused(base, base_statistics, three_spans, mnist, lend):
    admission = judged(three_spans, base_statistics, mnist, lend())
    with pytest.raises(
        ConfigurationError, match=re.escape("spans.window.only names span-9, but there is no such span")
    ):
        mix.function(
            base, base_statistics, three_spans, admission, **(ALL | {"window": Window(only=["span-9"])}), run=lend()
        )


@pytest.mark.parametrize("weight", [2.0, 0.5, 1.5, 0.25])
def test_a_weight_says_how_often_an_image_counts(weight, base, base_statistics, three_spans, mixed, mnist, lend):
    admission = judged(three_spans, base_statistics, mnist, lend())
    found = mix.function(base, base_statistics, three_spans, admission, **(ALL | {"base_weight": weight}), run=lend())
    of_base, of_spans = base.splits["train"].count, mixed.splits["train"].count - base.splits["train"].count
    rest = weight % 1
    noise = 4 * (of_base * rest * (1 - rest)) ** 0.5  # four standard deviations of a fair draw; none for whole weights
    assert found.splits["train"].count - of_spans == pytest.approx(weight * of_base, abs=noise)
    assert (
        len(pictures.records(found, "train")) == found.splits["train"].count
    )  # each shard that is named is there and whole
    assert found.splits["test"] == base.splits["test"]


def test_without_any_span_the_mixture_is_the_base(base, base_statistics, tmp_path, mnist, lend):
    found = collected(tmp_path, lend())
    only = mix.function(base, base_statistics, found, judged(found, base_statistics, mnist, lend()), **ALL, run=lend())
    assert list(only.splits) == ["train", "validation", "test"]
    assert only.source == base.source
    assert (only.path / "stats.tfrecord").read_bytes() == (base_statistics.path / "stats.tfrecord").read_bytes()


def test_a_mixture_is_the_same_bytes_whether_its_spans_were_just_read_or_come_from_the_store(
    base, base_statistics, data_dir, tmp_path, mnist, lend
):
    for name in ("span-9", "span-10", "span-11"):
        spans.deliver(tmp_path / "data", name, *spans.digits(data_dir, int(name[5:]) * 30, 30), "idx")
    found = collected(tmp_path / "data", lend())
    admission = judged(found, base_statistics, mnist, lend(), brightness=9, pixels=1)
    assert admission.admitted == ("span-9", "span-10", "span-11")
    made, manifest = [], json.loads(json.dumps(facts(found), sort_keys=True))
    for given in (found, from_facts(type(found), found.path, manifest)):
        mixed = mix.function(base, base_statistics, given, admission, **(ALL | {"window": Window(last=2)}), run=lend())
        made.append((facts(mixed), files.listing(mixed.path)))
    assert made[0] == made[1]
    assert made[0][0]["spans"] == ["span-10", "span-11"]
    assert made[0][0]["fresh"] == "span-11"
