"""Spans in reports, of real runs: what was trained on, what was not and why, and what the newest images showed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.dag import outputs
from pipeline.report import html, index, spans, views
from pipeline.report.facts import Facts
from pipeline.store import Store
from pipeline.store.recorded import Recorded
from schemas.artifacts import Examples, GateResult
from tests.pipeline.command_line import gateline
from tests.pipeline.finished_run import finish
from tests.pipeline.report.test_index import gathered
from tests.pipeline.report_page import Page, edited, facts_of
from tests.spans import bright, deliver, digits

pytestmark = pytest.mark.slow

HOSTILE = "span-<script>alert(1)</script>\"'&|`$x_1$"
QUICK = {"source.train": "train[:1000]", "source.test": "test[:400]", "train.epochs": 2, "evaluate.corrupted": 0}
EASY = {"gates.accuracy": 0.5, "gates.per_class": 0.2, "gates.fresh": 0.2}
RULES = {"spans.fresh": 0.3, "spans.window.last": 2, "spans.weight": 2, "spans.drift.then": "quarantine"}


@pytest.fixture(scope="module")
def root(data_dir: str, sample: Examples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run 1 used one span; run 2, complete, met six and used two; run 3 knows one more; run 4 is refused for it."""
    folder = tmp_path_factory.mktemp("spans")
    root, arrivals = folder / "root", folder / "data"
    settings = {"source.data_dir": data_dir, "spans.directory": arrivals, **QUICK, **EASY, **RULES}

    def run(*arguments: str, code: int = 0, **others: str) -> None:
        sets = [f"--set={key}={value}" for key, value in (settings | others).items()]
        done = gateline("run", "--root", root, *sets, *arguments)
        assert done.returncode == code, done.stderr

    def come(number: int, first: int, count: int) -> Path:
        return deliver(arrivals, f"span-{number:04d}", *digits(data_dir, first, count), "idx")

    come(1, 0, 40)
    run("--until", "mix")
    broken = deliver(arrivals, "span-0002", *digits(data_dir, 40, 10))
    image = min(broken.glob("*/*.png"))
    image.write_bytes(image.read_bytes()[:70])
    images, labels = digits(data_dir, 50, 60)
    deliver(arrivals, "span-0003", bright(images), labels, "idx")
    come(4, 110, 40)
    come(5, 150, 40)
    come(6, 200, 200)
    run()
    come(7, 400, 40)
    run("--until", "mix")
    run("--until", "mix", code=4, **{"spans.drift.then": "error"})
    return root


@pytest.fixture(scope="module")
def pushed(root: Path) -> Facts:
    return facts_of(root, 2)


@pytest.fixture(scope="module")
def page(pushed: Facts) -> Page:
    return Page(html.page(pushed))


def row(number: int, fate: str = spans.TRAINED_ON, **known: Any) -> dict[str, Any]:
    usual = {"date": "2026-03-01", "images": 10, "unreadable": 0, "why": "", "fresh": 0, "warnings": [], "measures": {}}
    return usual | {"span": f"span-{number:04d}", "fate": fate} | known


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 image could not be read and was"), (3, "3 images could not be read and were")]
)
def test_images_of_a_span_that_were_set_aside_are_counted(count: int, text: str) -> None:
    assert spans.remarks(row(1, unreadable=count, warnings=["span-0001: odd"])) == [f"{text} set aside", "odd"]
    assert spans.remarks(row(1)) == []


def test_every_span_says_what_became_of_it_and_why(pushed: Facts) -> None:
    found = {row["span"]: row for row in pushed.spans}
    assert {name: row["fate"] for name, row in found.items()} == {
        "span-0001": "outside the window",
        "span-0002": "cannot be read",
        "span-0003": "quarantined",
        "span-0004": "outside the window",
        "span-0005": "trained on",
        "span-0006": "trained on",
    }
    assert found["span-0002"]["why"].endswith(".png cannot be decoded as an image")
    assert found["span-0003"]["why"].startswith(
        "span-0003 is far from the base dataset's training data: pixel values differ by "
    )
    assert [row["images"] for row in pushed.spans] == [40, 0, 60, 40, 40, 200]
    assert found["span-0003"]["measures"]["pixels"]["over"]
    assert not found["span-0006"]["measures"]["pixels"]["over"]


def test_counts_and_labels_are_of_what_was_really_learnt_from(pushed: Facts, page: Page) -> None:
    assert pushed.counts["train"] + pushed.counts["validation"] + pushed.counts["fresh"] == 1000 + 40 + 200
    assert {name: sum(split["labels"].values()) for name, split in pushed.splits.items()} == pushed.counts
    for name, count in pushed.counts.items():
        assert f"{name} {count:,} 28 × 28 0 none" in page.text
    assert f"fresh: images of {pushed.fresh} that are tested on" in page.text


def test_the_page_lists_spans_with_their_drift_and_its_limits(pushed: Facts, page: Page) -> None:
    text = page.text
    trained = "2 of 6 spans (span-0003 quarantined; span-0002 cannot be read) were trained on."
    weights = "Weights in training: 2 for images of spans, 1 for those of mnist_sample:1.0.0."
    assert f"In addition to mnist_sample:1.0.0, {trained} {weights}" in text
    assert "span date images pixels, ≤ 0.02 labels, ≤ 0.05 brightness, ≤ 0.5 outcome" in text
    far = pushed.spans[2]
    measured = f"over limit {far['measures']['pixels']['value']:.3f}"
    assert re.search(
        rf"span-0003 {far['date']} 60 {re.escape(measured)} .* quarantined Is far from the base dataset's", text
    )
    assert re.search(r"span-0006 \S+ 200 0\.0\d\d 0\.\d{3} 0\.\d{3} trained on \d+ tested on", text)
    assert text.index("span-0006 20") < text.index("span-0001 20")


def test_fresh_images_stand_beside_the_test_split(pushed: Facts, page: Page) -> None:
    test, fresh = views.fresh(pushed)
    assert (test["name"], fresh["name"], pushed.fresh) == ("the test split", "span-0006", "span-0006")
    assert (test["candidate"]["count"], fresh["candidate"]["count"]) == (400, pushed.counts["fresh"])
    row = fresh["candidate"]
    assert f"span-0006 {row['count']} {row['accuracy']:.4f} {html.interval(row['interval'])}" in page.text
    assert f"{row['count']} images of span-0006, the newest span, were excluded from training" in page.text
    assert f"Gates.fresh requires 0.2000 and measured {row['accuracy']:.4f}, at most" in page.text
    said = f"The {row['count']} fresh images are from one span, span-0006."
    assert said in html.card(pushed)


def test_a_served_models_fresh_figures_stand_beside_the_candidates(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    found = facts_of(root, finish(root))
    metrics = {name: model | {"fresh": model["slices"]["label=3"]} for name, model in found.metrics.items()}
    found = edited(found, metrics=metrics, spans=[row(1, fresh=200)])
    candidate, baseline = (metrics[name]["fresh"]["accuracy"] for name in ("candidate", "baseline"))
    text = Page(html.page(found)).text
    assert (
        f"span-0001 200 {candidate:.4f} {html.interval(metrics['candidate']['fresh']['interval'])} {baseline:.4f}"
        in text
    )
    assert f"In addition, 200 fresh images of span-0001, the newest span: accuracy {candidate:.4f}" in html.card(found)
    assert f"; the served model, {baseline:.4f}." in html.card(found)


@pytest.mark.parametrize(
    ("gate", "words"),
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
def test_the_gate_on_fresh_images_is_told_in_words(pushed: Facts, gate: dict[str, Any], words: str) -> None:
    usual = {
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
    assert views.fresh_gate(edited(pushed, gates=[GateResult(**(usual | gate))])) == words
    assert views.fresh_gate(edited(pushed, gates=[])) == ""


def test_the_terminal_the_card_and_show_say_it_in_short(root: Path, pushed: Facts) -> None:
    learnt = "mnist_sample:1.0.0 and 2 of 6 spans (span-0003 quarantined; span-0002 cannot be read)"
    counts = ", ".join(f"{pushed.counts[split]:,} {split}" for split in ("train", "validation", "test", "fresh"))
    assert f"\ndata: {learnt}: {counts}\n" in gateline("show", 2, "--root", root).stdout
    said = gateline("report", 2, "--root", root).stdout
    assert f"\ndata: {learnt}\n" in said
    assert "\nspan-0003 quarantined: is far from the base dataset's training data: pixel values" in said
    card = html.card(pushed)
    assert f"| span-0006 | {pushed.spans[-1]['date']} | 200 | trained on |" in card
    found = json.loads((root / "reports/run-2.json").read_text(encoding="utf-8"))
    assert (found["spans"], found["source"]) == (json.loads(json.dumps(pushed.spans)), "mnist_sample:1.0.0")


def test_without_the_admission_the_lineage_still_says_what_became_of_spans(root: Path, pushed: Facts) -> None:
    found = spans.of(Recorded(pushed.stages, outputs()), [])
    assert [(row["span"], row["fate"], row["why"]) for row in found] == [
        (r["span"], r["fate"], r["why"]) for r in pushed.spans
    ]
    assert spans.limits(found) == {}


def test_a_run_without_spans_says_nothing_of_them(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    found = facts_of(root, finish(root))
    assert (found.spans, found.fresh, views.fresh(found)) == ([], "", [])
    for text in (Page(html.page(found)).text, html.card(found), gateline("report", "--root", root).stdout):
        assert not re.search(r"[Ss]pan-|Spans|[Ff]resh", text)
    assert "data: mnist:3.0.1: 5,400 train, 600 validation, 2,000 test\n" in gateline("show", "--root", root).stdout


def test_names_of_spans_are_shown_as_text(pushed: Facts) -> None:
    hostile = row(1, "quarantined", span=HOSTILE, why=HOSTILE, date=HOSTILE, warnings=[HOSTILE], fresh=3)
    found = edited(pushed, spans=[hostile])
    page = Page(html.page(found))
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count(HOSTILE) >= 5
    assert "<script>" not in html.card(found)


def test_of_many_spans_the_newest_and_the_faulty_are_listed_and_the_others_counted(pushed: Facts) -> None:
    old = [row(n, "outside the window" if n > 3 else "trained on") for n in range(70)]
    rows = [row(0, "quarantined", why="spoilt"), *old[1:60], *(row(n) for n in range(60, 80))]
    assert [each["span"] for each in spans.shown(rows)] == [*(f"span-{n:04d}" for n in range(79, 49, -1)), "span-0000"]
    more = "and 49 more: 3 trained on, 46 outside the window"
    assert (spans.more(rows), spans.more(rows[-30:])) == (more, "")
    text = Page(html.page(edited(pushed, spans=rows))).text
    assert f"{more.capitalize()}." in text
    assert "span-0049" not in text


def test_the_index_says_which_spans_are_new_since_the_model_was_served(root: Path) -> None:
    found = gathered(root)
    since = "span-0006, span-0005, span-0004 (outside the window) and 3 more"
    assert [row.new for row in found.rows] == ["span-0007", "span-0007", since, "span-0001"]
    refused = found.rows[0]
    assert (refused.state, refused.refused, list(refused.gates)) == ("refused", ["spans"], ["spans"])
    assert refused.why.startswith("Span-0003 is far from ")
    text = Page(index.write(found, root / "reports")["html"].read_text(encoding="utf-8")).text
    assert f"{refused.why} Refused by: spans. New: span-0007." in text


def test_two_runs_are_compared_by_their_spans(root: Path) -> None:
    found = json.loads(gateline("compare", 1, 2, "--root", root, "--json").stdout)
    assert found["spans"][0] == {"span": "span-0006", "old": None, "new": "trained on"}
    assert found["spans"][-1] == {"span": "span-0001", "old": "trained on", "new": "outside the window"}
    assert {"what": "spans trained on", "old": 1, "new": 2} in found["data"]
    assert [row["figure"] for row in found["overall"]][-1] == "accuracy on span-0006"
    shown = [" ".join(line.split()) for line in gateline("compare", 1, 2, "--root", root).stdout.splitlines()]
    assert "spans span-0006 absent trained on" in shown
    assert "span-0001 trained on outside the window" in shown
