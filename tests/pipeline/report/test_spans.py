"""Spans in reports of real runs: which were trained on, which were not and why, and the metrics on fresh images."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.dag import outputs
from pipeline.report import accuracy, gates, html, index, spans
from pipeline.report.facts import Facts
from pipeline.report.spans import SpanRow
from pipeline.store import Store
from pipeline.store.recorded import RecordedArtifacts
from schemas.artifacts import Examples, GateResult
from tests.pipeline.command_line import gateline
from tests.pipeline.finished_run import finish
from tests.pipeline.report.test_index import gather_index
from tests.pipeline.report_page import Page, edited, facts_of
from tests.spans import bright, deliver, digits

pytestmark = pytest.mark.slow

HOSTILE = "span-<script>alert(1)</script>\"'&|`$x_1$"
SMALL_RUN = {"source.train": "train[:1000]", "source.test": "test[:400]", "train.epochs": 2, "evaluate.corrupted": 0}
EASY = {"gates.accuracy": 0.5, "gates.per_class": 0.2, "gates.fresh": 0.2}
RULES = {"spans.fresh": 0.3, "spans.window.last": 2, "spans.weight": 2, "spans.drift.then": "quarantine"}


@pytest.fixture(scope="module")
def root(data_dir: str, sample: Examples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run 1 used one span; run 2 is complete, had six spans and used two; run 3 had one more; run 4 was refused."""
    folder = tmp_path_factory.mktemp("spans")
    root, directory = folder / "root", folder / "data"
    settings = {"source.data_dir": data_dir, "spans.directory": directory, **SMALL_RUN, **EASY, **RULES}

    def run(*arguments: str, code: int = 0, **overrides: str) -> None:
        sets = [f"--set={key}={value}" for key, value in (settings | overrides).items()]
        done = gateline("run", "--root", root, *sets, *arguments)
        assert done.returncode == code, done.stderr

    def deliver_digits(number: int, first: int, count: int) -> Path:
        return deliver(directory, f"span-{number:04d}", *digits(data_dir, first, count), "idx")

    deliver_digits(1, 0, 40)
    run("--until", "mix")
    broken = deliver(directory, "span-0002", *digits(data_dir, 40, 10))
    image = min(broken.glob("*/*.png"))
    image.write_bytes(image.read_bytes()[:70])
    images, labels = digits(data_dir, 50, 60)
    deliver(directory, "span-0003", bright(images), labels, "idx")
    deliver_digits(4, 110, 40)
    deliver_digits(5, 150, 40)
    deliver_digits(6, 200, 200)
    run()
    deliver_digits(7, 400, 40)
    run("--until", "mix")
    run("--until", "mix", code=4, **{"spans.drift.then": "error"})
    return root


@pytest.fixture(scope="module")
def pushed(root: Path) -> Facts:
    return facts_of(root, 2)


@pytest.fixture(scope="module")
def page(pushed: Facts) -> Page:
    return Page(html.page(pushed))


def row(number: int, outcome: str = spans.TRAINED_ON, **columns: Any) -> SpanRow:
    plain = SpanRow(f"span-{number:04d}", "2026-03-01", 10, 0, outcome, why="", fresh=0, warnings=[], measures={})
    return dataclasses.replace(plain, **columns)


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 image could not be read and was"), (3, "3 images could not be read and were")]
)
def test_set_aside_images_of_a_span_are_counted(count: int, text: str) -> None:
    assert spans.remarks(row(1, unreadable=count, warnings=["span-0001: odd"])) == [f"{text} set aside", "odd"]
    assert spans.remarks(row(1)) == []


def test_every_span_has_its_outcome_and_reason(pushed: Facts) -> None:
    by_name = {row.span: row for row in pushed.spans}
    assert {name: row.fate for name, row in by_name.items()} == {
        "span-0001": "outside the window",
        "span-0002": "cannot be read",
        "span-0003": "quarantined",
        "span-0004": "outside the window",
        "span-0005": "trained on",
        "span-0006": "trained on",
    }
    assert by_name["span-0002"].why.endswith(".png cannot be decoded as an image")
    assert by_name["span-0003"].why.startswith(
        "span-0003 has drifted from the base dataset's training data: pixel values differ by "
    )
    assert [row.images for row in pushed.spans] == [40, 0, 60, 40, 40, 200]
    assert by_name["span-0003"].measures["pixels"].over
    assert not by_name["span-0006"].measures["pixels"].over


def test_counts_and_labels_are_of_the_images_trained_on(pushed: Facts, page: Page) -> None:
    assert pushed.counts["train"] + pushed.counts["validation"] + pushed.counts["fresh"] == 1000 + 40 + 200
    assert {name: sum(split.labels.values()) for name, split in pushed.splits.items()} == pushed.counts
    for name, count in pushed.counts.items():
        assert f"{name} {count:,} 28 × 28 0 none" in page.text
    assert f"fresh: images of {pushed.fresh} that are tested on" in page.text


def test_the_page_lists_spans_with_drift_and_limits(pushed: Facts, page: Page) -> None:
    text = page.text
    trained = "2 of 6 spans (span-0003 quarantined; span-0002 cannot be read) were trained on."
    weights = "Weights in training: 2 for images of spans, 1 for those of mnist_sample:1.0.0."
    assert f"In addition to mnist_sample:1.0.0, {trained} {weights}" in text
    assert "span date images pixels, ≤ 0.02 labels, ≤ 0.05 brightness, ≤ 0.5 outcome" in text
    drifted = pushed.spans[2]
    measured = f"over limit {drifted.measures['pixels'].value:.3f}"
    assert re.search(
        rf"span-0003 {drifted.date} 60 {re.escape(measured)} .* quarantined Has drifted from the base dataset's",
        text,
    )
    assert re.search(r"span-0006 \S+ 200 0\.0\d\d 0\.\d{3} 0\.\d{3} trained on \d+ used for testing", text)
    assert text.index("span-0006 20") < text.index("span-0001 20")


def test_fresh_images_are_shown_next_to_the_test_split(pushed: Facts, page: Page) -> None:
    test, fresh = accuracy.fresh(pushed)
    assert (test["name"], fresh["name"], pushed.fresh) == ("the test split", "span-0006", "span-0006")
    assert (test["candidate"]["count"], fresh["candidate"]["count"]) == (400, pushed.counts["fresh"])
    row = fresh["candidate"]
    assert f"span-0006 {row['count']} {row['accuracy']:.4f} {html.interval(row['interval'])}" in page.text
    assert f"{row['count']} images of span-0006, the newest span, were excluded from training" in page.text
    assert f"Gates.fresh requires 0.2000 and measured {row['accuracy']:.4f}, at most" in page.text
    output = f"The {row['count']} fresh images are from one span, span-0006."
    assert output in html.card(pushed)


def test_fresh_metrics_of_the_served_model_are_shown_next_to_the_candidates(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    facts = facts_of(root, finish(root))
    metrics = {name: model | {"fresh": model["slices"]["label=3"]} for name, model in facts.metrics.items()}
    facts = edited(facts, metrics=metrics, spans=[row(1, fresh=200)])
    candidate, baseline = (metrics[name]["fresh"]["accuracy"] for name in ("candidate", "baseline"))
    text = Page(html.page(facts)).text
    assert (
        f"span-0001 200 {candidate:.4f} {html.interval(metrics['candidate']['fresh']['interval'])} {baseline:.4f}"
        in text
    )
    assert f"In addition, 200 fresh images of span-0001, the newest span: accuracy {candidate:.4f}" in html.card(facts)
    assert f"; the served model, {baseline:.4f}." in html.card(facts)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"passed": False, "verdict": "refused", "reason": "accuracy on fresh is 0.1"}, "accuracy on fresh is 0.1"),
        (
            {"value": None, "verdict": "too few examples"},
            "gates.fresh requires 0.9000; there is no span yet, so it does not refuse",
        ),
        (
            {"verdict": "too few examples"},
            "gates.fresh requires 0.9000; there are too few images to decide, so it does not refuse",
        ),
        (
            {"measured": "0.9500, at most 0.9810"},
            "gates.fresh requires 0.9000 and measured 0.9500, at most 0.9810: passed",
        ),
    ],
)
def test_the_gate_on_fresh_images_is_described(gate: dict[str, Any], message: str) -> None:
    defaults = {
        "gate": "fresh",
        "slice": "fresh",
        "bound": 0.9,
        "value": 0.95,
        "passed": True,
        "verdict": "passed",
        "required": "≥ 0.9000",
        "reason": "",
        "measured": "",
    }
    assert gates.fresh([GateResult(**(defaults | gate))]) == message
    assert gates.fresh([]) == ""


def test_terminal_card_and_show_summarize_the_spans(root: Path, pushed: Facts) -> None:
    trained_on = "mnist_sample:1.0.0 and 2 of 6 spans (span-0003 quarantined; span-0002 cannot be read)"
    counts = ", ".join(f"{pushed.counts[split]:,} {split}" for split in ("train", "validation", "test", "fresh"))
    assert f"\ndata: {trained_on}: {counts}\n" in gateline("show", 2, "--root", root).stdout
    output = gateline("report", 2, "--root", root).stdout
    assert f"\ndata: {trained_on}\n" in output
    assert "\nspan-0003 quarantined: has drifted from the base dataset's training data: pixel values" in output
    card = html.card(pushed)
    assert f"| span-0006 | {pushed.spans[-1].date} | 200 | trained on |" in card
    content = json.loads((root / "reports/run-2.json").read_text(encoding="utf-8"))
    assert content["spans"] == json.loads(json.dumps(pushed.as_json()["spans"]))
    assert content["source"] == "mnist_sample:1.0.0"


def test_without_the_admission_outcomes_come_from_the_lineage(root: Path, pushed: Facts) -> None:
    rows = spans.rows(RecordedArtifacts(pushed.stages, outputs()), [])
    assert [(row.span, row.fate, row.why) for row in rows] == [(r.span, r.fate, r.why) for r in pushed.spans]
    assert spans.limits(rows) == {}


def test_a_run_without_spans_does_not_mention_spans(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    facts = facts_of(root, finish(root))
    assert (facts.spans, facts.fresh, accuracy.fresh(facts)) == ([], "", [])
    for text in (Page(html.page(facts)).text, html.card(facts), gateline("report", "--root", root).stdout):
        assert not re.search(r"[Ss]pan-|Spans|[Ff]resh", text)
    assert "data: mnist:3.0.1: 5,400 train, 600 validation, 2,000 test\n" in gateline("show", "--root", root).stdout


def test_hostile_span_names_are_escaped(pushed: Facts) -> None:
    hostile_row = row(1, "quarantined", span=HOSTILE, why=HOSTILE, date=HOSTILE, warnings=[HOSTILE], fresh=3)
    facts = edited(pushed, spans=[hostile_row])
    page = Page(html.page(facts))
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count(HOSTILE) >= 5
    assert "<script>" not in html.card(facts)


def test_only_the_newest_and_quarantined_of_many_spans_are_listed(pushed: Facts) -> None:
    old = [row(n, "outside the window" if n > 3 else "trained on") for n in range(70)]
    rows = [row(0, "quarantined", why="spoilt"), *old[1:60], *(row(n) for n in range(60, 80))]
    assert [row_.span for row_ in spans.shown(rows)] == [*(f"span-{n:04d}" for n in range(79, 49, -1)), "span-0000"]
    more = "and 49 more: 3 trained on, 46 outside the window"
    assert (spans.more(rows), spans.more(rows[-30:])) == (more, "")
    text = Page(html.page(edited(pushed, spans=rows))).text
    assert f"{more.capitalize()}." in text
    assert "span-0049" not in text


def test_the_index_lists_spans_that_are_newer_than_the_served_model(root: Path) -> None:
    index_ = gather_index(root)
    new_spans = "span-0006, span-0005, span-0004 (outside the window) and 3 more"
    assert [row.new for row in index_.rows] == ["span-0007", "span-0007", new_spans, "span-0001"]
    refused = index_.rows[0]
    assert (refused.state, refused.refused, list(refused.gates)) == ("refused", ["spans"], ["spans"])
    assert refused.why.startswith("Span-0003 has drifted from ")
    text = Page(index.write(index_, root / "reports")["html"].read_text(encoding="utf-8")).text
    assert f"{refused.why} Refused by: spans. New: span-0007." in text


def test_a_comparison_lists_the_outcomes_of_spans(root: Path) -> None:
    comparison = json.loads(gateline("compare", 1, 2, "--root", root, "--json").stdout)
    assert comparison["spans"][0] == {"span": "span-0006", "old": None, "new": "trained on"}
    assert comparison["spans"][-1] == {"span": "span-0001", "old": "trained on", "new": "outside the window"}
    assert {"what": "spans trained on", "old": 1, "new": 2} in comparison["data"]
    assert [row["figure"] for row in comparison["overall"]][-1] == "accuracy on span-0006"
    output_rows = [" ".join(line.split()) for line in gateline("compare", 1, 2, "--root", root).stdout.splitlines()]
    assert "spans span-0006 absent trained on" in output_rows
    assert "span-0001 trained on outside the window" in output_rows
