"""mix: the base dataset and the admitted spans in the window become one dataset."""

import json
import re
import subprocess
import sys

import pytest

from components.describe import describe
from components.mix import mix
from pipeline.store.store import facts, from_facts
from schemas import files
from schemas.errors import ConfigurationError
from schemas.settings.spans import Window
from tests import spans
from tests.components import pictures
from tests.components.span_stages import ALL, admit_spans
from tests.spans import collected


def test_statistics_of_the_mixture_equal_those_of_describe(mixed, base, new_run):
    described = describe.function(mixed, run=new_run())
    for name in ("stats.tfrecord", "leaked.json", "leaked-fresh.json"):
        assert (described.path / name).read_bytes() == (mixed.path / name).read_bytes()
    assert mixed.counts == {split: split_.count for split, split_ in mixed.splits.items()} == described.counts


def test_the_test_split_is_unchanged_and_the_newest_span_is_the_fresh_slice(mixed, base, three_spans):
    assert mixed.test == base.test
    assert pictures.records(mixed, "test") == pictures.records(base, "test")
    newest = three_spans.spans["span-0002"].splits
    assert (mixed.fresh, mixed.splits["fresh"].count) == ("span-0002", newest["fresh"].count)
    train_images = {
        image for split in ("train", "validation") for image in pictures.columns(mixed, split)["image"].tolist()
    }
    assert not train_images & set(pictures.columns(mixed, "fresh")["image"].tolist())
    older_count = sum(three_spans.spans[name].count for name in ("span-0000", "span-0001"))
    train_and_validation = mixed.splits["train"].count + mixed.splits["validation"].count
    assert (
        train_and_validation
        == base.splits["train"].count + base.splits["validation"].count + older_count + 100 - newest["fresh"].count
    )


@pytest.mark.parametrize(
    ("window", "names"),
    [
        ({"last": 2}, ("span-0001", "span-0002")),
        ({"only": ["span-0000"]}, ("span-0000",)),
        ({"days": 1}, ("span-0000", "span-0001", "span-0002")),
        ("all", ("span-0000", "span-0001", "span-0002")),
    ],
)
def test_the_window_selects_spans(window, names, base, base_statistics, three_spans, mnist, new_run):
    admission = admit_spans(three_spans, base_statistics, mnist, new_run())
    mixture = mix.function(
        base,
        base_statistics,
        three_spans,
        admission,
        **(ALL | {"window": Window.model_validate(window)}),
        run=new_run(),
    )
    assert mixture.spans == names
    assert mixture.fresh == names[-1]


def test_a_window_of_days_counts_from_the_newest_span(base, base_statistics, data_dir, tmp_path, mnist, new_run):
    for i, date in enumerate(("2026-01-01", "2026-01-30", "2026-01-31")):
        spans.deliver(tmp_path, f"span-{date}", *spans.digits(data_dir, i * 20, 20), "idx")
    collected_spans = collected(tmp_path, new_run())
    admission = admit_spans(collected_spans, base_statistics, mnist, new_run(), brightness=9, labels=1.0, pixels=9)
    mixture = mix.function(
        base, base_statistics, collected_spans, admission, **(ALL | {"window": Window(days=2)}), run=new_run()
    )
    assert mixture.spans == ("span-2026-01-30", "span-2026-01-31")


def test_a_window_with_an_unknown_span_is_refused(base, base_statistics, three_spans, mnist, new_run):
    admission = admit_spans(three_spans, base_statistics, mnist, new_run())
    with pytest.raises(
        ConfigurationError, match=re.escape("spans.window.only names span-9, but there is no such span")
    ):
        mix.function(
            base, base_statistics, three_spans, admission, **(ALL | {"window": Window(only=["span-9"])}), run=new_run()
        )


@pytest.mark.parametrize("weight", [2.0, 0.5, 1.5, 0.25])
def test_a_weight_repeats_images(weight, base, base_statistics, three_spans, mixed, mnist, new_run):
    admission = admit_spans(three_spans, base_statistics, mnist, new_run())
    mixture = mix.function(
        base, base_statistics, three_spans, admission, **(ALL | {"base_weight": weight}), run=new_run()
    )
    base_count, span_count = base.splits["train"].count, mixed.splits["train"].count - base.splits["train"].count
    fraction = weight % 1
    noise = 4 * (base_count * fraction * (1 - fraction)) ** 0.5  # four standard deviations; zero for integer weights
    assert mixture.splits["train"].count - span_count == pytest.approx(weight * base_count, abs=noise)
    # All listed shards exist and are complete.
    assert len(pictures.records(mixture, "train")) == mixture.splits["train"].count
    assert mixture.splits["test"] == base.splits["test"]


def test_without_spans_the_mixture_is_the_base(base, base_statistics, tmp_path, mnist, new_run):
    collected_spans = collected(tmp_path, new_run())
    mixture = mix.function(
        base,
        base_statistics,
        collected_spans,
        admit_spans(collected_spans, base_statistics, mnist, new_run()),
        **ALL,
        run=new_run(),
    )
    assert list(mixture.splits) == ["train", "validation", "test"]
    assert mixture.source == base.source
    assert (mixture.path / "stats.tfrecord").read_bytes() == (base_statistics.path / "stats.tfrecord").read_bytes()


def test_a_mixture_is_equal_with_new_and_stored_spans(base, base_statistics, data_dir, tmp_path, mnist, new_run):
    for name in ("span-9", "span-10", "span-11"):
        spans.deliver(tmp_path / "data", name, *spans.digits(data_dir, int(name[5:]) * 30, 30), "idx")
    collected_spans = collected(tmp_path / "data", new_run())
    admission = admit_spans(collected_spans, base_statistics, mnist, new_run(), brightness=9, pixels=1)
    assert admission.admitted == ("span-9", "span-10", "span-11")
    results, manifest = [], json.loads(json.dumps(facts(collected_spans), sort_keys=True))
    for collected_ in (collected_spans, from_facts(type(collected_spans), collected_spans.path, manifest)):
        mixed = mix.function(
            base, base_statistics, collected_, admission, **(ALL | {"window": Window(last=2)}), run=new_run()
        )
        results.append((facts(mixed), files.listing(mixed.path)))
    assert results[0] == results[1]
    assert results[0][0]["spans"] == ["span-10", "span-11"]
    assert results[0][0]["fresh"] == "span-11"


FEW_FILES = """
import resource, sys
from pathlib import Path
from components.describe import describe
from components.mix import mix
from schemas.contract import Contract
from tests.components import pictures
from tests.components.span_stages import ALL, admit_spans
from tests.conftest import folder_run
from tests.spans import collected

folder, contract = Path(sys.argv[1]), Contract.load("mnist.pbtxt")
images = [pictures.pictures(690, seed=seed, shape=(28, 28, 1), classes=10) for seed in range(3)]
base = pictures.examples(folder / "base", 345, **dict(zip(("train", "validation", "test"), images)))
spans = collected(folder, folder_run(folder / "collect"))
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
statistics = describe.function(base, run=folder_run(folder / "describe"))
admission = admit_spans(spans, statistics, contract, folder_run(folder / "admit"))
mixed = mix.function(base, statistics, spans, admission, **ALL, run=folder_run(folder / "mix"))
print({name: split.count for name, split in mixed.splits.items()})
"""


@pytest.mark.slow
def test_a_mixture_of_345_shards_needs_few_open_files(tmp_path):
    command = [sys.executable, "-c", FEW_FILES, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "{'train': 690, 'validation': 690, 'test': 690}\n", done.stderr
