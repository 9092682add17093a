"""The report of one run: the page, its JSON, the model card, the terminal."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from pipeline.report import html, views
from pipeline.report.facts import Facts
from pipeline.store import Store
from schemas.artifacts import GateResult
from tests.pipeline.answers import CORRUPTIONS, Answers
from tests.pipeline.finished_run import finish
from tests.pipeline.report_page import SECTIONS, Page, edited, facts_of


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run 1 was pushed, with leaked images; run 2 was refused by three gates; run 3 had nothing to be compared with."""
    root = Store(tmp_path_factory.mktemp("store") / "root").root
    finish(root, leaked=23)
    finish(root, Answers.drawn(accuracy=0.95), refused=("accuracy", "per_class:label=8", "paired"))
    finish(root, with_baseline=False)
    return root


@pytest.fixture(scope="module")
def pushed(root: Path) -> Facts:
    return facts_of(root, 1)


@pytest.fixture(scope="module")
def refused(root: Path) -> Facts:
    return facts_of(root, 2)


@pytest.fixture(scope="module")
def source(pushed: Facts) -> str:
    return html.page(pushed)


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


@pytest.fixture
def empty(tmp_path: Path) -> Facts:
    """A run that failed before its first stage was done."""
    root = Store(tmp_path / "root").root
    lineage = Lineage.at(root, None)
    number = lineage.start(profile="mnist", command="python -m pipeline run", config={})
    lineage.finish(number, state="failed", exit_code=1, message="data: nothing came\n  Look at the network.")
    lineage.engine.dispose()
    return facts_of(root, number)


def test_every_question_has_its_section_in_order(page: Page, refused: Facts, empty: Facts) -> None:
    for each in (page, Page(html.page(refused)), Page(html.page(empty))):
        assert [attributes["id"] for attributes in each.all("section")] == SECTIONS
        assert each.open == []


def test_the_page_says_first_what_came_of_the_run_and_why(page: Page, refused: Facts, empty: Facts) -> None:
    assert page.text.index(
        "Pushed as version 2: no gate refused; 1 could not be judged (too few test images)."
    ) < page.text.index("Required and measured")
    text = Page(html.page(refused)).text
    assert f"{refused.verdict} Train better, or lower the gate." in text
    expected = r"Refused: accuracy is 0.949\d; gates.accuracy requires 0.953\d \(0.0040 short\)."
    assert re.fullmatch(expected, refused.verdict)
    text = Page(html.page(empty)).text
    assert "Failed: nothing came. Look at the network." in text
    assert "The run did not reach the gates." in text


def test_refused_gates_stand_first_and_say_why(refused: Facts) -> None:
    shown, folded = views.gates(refused)
    assert [(gate.gate, gate.slice) for gate in shown[:3]] == [
        ("accuracy", "overall"),
        ("per_class", "label=8"),
        ("paired", "overall"),
    ]
    assert all(gate.passed for gate in shown[3:])
    assert folded == []
    text = Page(html.page(refused)).text
    for gate in shown[:3]:
        assert html.sentence(gate.reason).replace("\u00a0", " ") in text


def test_classes_are_folded_when_all_of_them_pass(pushed: Facts, page: Page) -> None:
    shown, folded = views.gates(pushed)
    assert [gate.slice for gate in folded] == [f"label={k}" for k in range(10)]
    assert "per_class" not in {gate.gate for gate in shown}
    assert "Each of the 10 classes passed; the closest is label=0 by +0.0105" in page.text


def test_a_gate_that_could_not_be_judged_is_neither_passed_nor_refused(pushed: Facts) -> None:
    few = dataclasses.replace(pushed.gates[3], verdict="too few examples", margin="")
    found = edited(pushed, gates=[*pushed.gates[:3], few, *pushed.gates[4:]])
    shown, folded = views.gates(found)
    assert (shown[0].slice, shown[0].verdict, folded) == (few.slice, "too few examples", [])
    assert f"Too few test images to judge: {few.slice}" in " ".join(views.limits(found))


def test_candidate_and_baseline_stand_side_by_side_with_their_intervals(pushed: Facts, page: Page) -> None:
    rows = views.classes(pushed)
    assert [row["name"] for row in rows] == ["overall", *map(str, range(10))]
    for row in rows:
        candidate, baseline = row["candidate"], row["baseline"]
        figures = [
            html.number(candidate["accuracy"]),
            html.interval(candidate["interval"]),
            html.number(baseline["accuracy"]),
        ]
        assert " ".join(figures[:2]) in page.text
        assert figures[2] in page.text
        assert row["difference"] == pytest.approx(candidate["accuracy"] - baseline["accuracy"])
    assert html.sentence(pushed.comparisons[0]["words"]).replace("\u00a0", " ") in page.text


def test_labels_are_called_by_their_names(tmp_path: Path) -> None:
    names = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    root = Store(tmp_path / "root").root
    found = facts_of(root, finish(root, refused=("per_class:label=8",), names=names))
    text = Page(html.page(found)).text
    assert found.verdict.startswith("Refused: accuracy on label=8 (Bag) is ")
    assert "label=8 (Bag) ≥ " in text
    label, other, images = views.confused(found)[0]
    assert f"Most often confused: {names[label]} taken for {names[other]} ({images})" in text
    assert (
        f"label {names[found.gallery['mistakes'][0]['label']]}, "
        f"predicted {names[found.gallery['mistakes'][0]['predicted']]}" in text
    )
    assert [row["name"] for row in views.classes(found)][:3] == ["overall", "0 T-shirt/top", "1 Trouser"]
    assert "label=1 (Trouser), ink=below 0.1" in [row["name"] for row in views.slices(found)]
    assert "| class 9 Ankle boot |" in html.card(found)
    assert "| per\\_class | label=8 (Bag) |" in html.card(found)


def test_images_that_one_model_got_right_and_the_other_wrong_are_shown(pushed: Facts, page: Page) -> None:
    comparison = pushed.comparisons[0]
    assert comparison["only_candidate"] >= len(pushed.gallery["gained"]) > 0
    assert comparison["only_other"] >= len(pushed.gallery["lost"]) > 0
    shown = sum(len(pushed.gallery[name]) for name in ("mistakes", "lost", "gained", "samples"))
    assert len(page.all("img")) == shown
    entry = pushed.gallery["lost"][0]
    assert f"Test image {entry['index']}, labelled {entry['label']}, taken for {entry['predicted']}" in page.values(
        "alt"
    )


def test_without_a_baseline_the_page_says_so(root: Path) -> None:
    found = facts_of(root, 3)
    assert "Nothing was served when this run began" in Page(html.page(found)).text
    assert "Nothing was served yet, so there was no model to compare with." in html.card(found)


def test_leaked_images_are_counted_out_and_both_figures_given(pushed: Facts, page: Page, refused: Facts) -> None:
    with_, without = pushed.metrics["candidate"]["with_leaked"], pushed.metrics["candidate"]["overall"]
    assert with_["count"] - without["count"] == 23
    words = f"accuracy is {without['accuracy']:.4f} without them, and would be {with_['accuracy']:.4f} if they counted"
    assert (
        f"23 test images also stand in train or validation. They are left out of every figure here: {words}."
        in page.text
    )
    assert "Leakage" not in Page(html.page(refused)).text


def test_confident_mistakes_are_headed_as_likely_label_errors(pushed: Facts, page: Page) -> None:
    likely = pushed.label_errors
    assert 0 < len(likely) < len(pushed.gallery["mistakes"])
    assert all(entry["top"][0][1] > 0.95 for entry in likely)
    assert page.text.index("Likely label errors") < page.text.index("Other confident mistakes")


def test_the_colours_of_the_confusion_matrix_are_of_mistakes_only() -> None:
    heat = views.heat([[90, 10, 0], [0, 100, 0], [5, 0, 195]])
    assert [heat[i][i] for i in range(3)] == [0, 0, 0]
    assert heat[0][1] == 1
    assert 0 < heat[2][0] < 1
    assert views.heat([[3, 0], [0, 0]]) == [[0, 0], [0, 0]]


def test_robustness_calibration_and_slices_are_shown(pushed: Facts, page: Page) -> None:
    candidate = pushed.metrics["candidate"]
    for name in CORRUPTIONS:
        assert f"{name} 1,000 {candidate['corruptions'][name]['accuracy']:.4f}" in page.text
    assert f"candidate {candidate['overall']['ece']:.4f} {candidate['overall']['brier']:.4f}" in page.text
    names = [row["name"] for row in views.slices(pushed)]
    assert {"ink=below 0.1", "label=8, ink=0.1 to 0.2"} <= set(names)
    assert all(name in page.text for name in names)


def test_the_serving_check_states_its_figures(root: Path, page: Page) -> None:
    assert "the model loads in 0.21 s and takes at most 61 MB in addition to TensorFlow itself." in page.text
    assert "signature images median, ms p95, ms p99, ms calls" in page.text
    for row in ("serving_default 1 0.40 0.60 0.90 120", "images 32 1.20 1.80 2.70 120"):
        assert row in page.text
    said = gateline("show", "1", "--root", root).stdout
    assert "serving check: loads in 0.21 s, answers in 0.40 ms, p99 0.90 ms, 61 MB" in said


def test_the_page_needs_nothing_but_itself(source: str, page: Page) -> None:
    assert len(source.encode()) < 3_000_000
    assert not {"script", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    addresses = (
        page.values("src") + page.values("href") + page.values("xlink:href") + re.findall(r"url\(([^)]*)\)", source)
    )
    assert addresses
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    assert "@import" not in source


def test_names_are_unique_and_anchors_lead_somewhere(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    anchors = [address[1:] for address in page.values("href") + page.values("xlink:href") if address.startswith("#")]
    assert set(SECTIONS) <= set(anchors) <= set(ids)


def test_the_page_can_be_read_without_seeing_and_without_a_mouse(page: Page) -> None:
    assert all(len(image["alt"] or "") > 5 for image in page.all("img"))
    assert all(header.get("scope") in ("row", "col") for header in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.all("svg"))
    regions = [attributes for attributes in page.all("div") if attributes.get("class") == "scroll"]
    assert regions
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)


def test_beside_the_page_stand_all_figures_as_json(pushed: Facts, tmp_path: Path) -> None:
    written = html.write(pushed, tmp_path / "reports")
    assert {kind: path.name for kind, path in written.items()} == {
        "html": "run-1.html",
        "json": "run-1.json",
        "card": "run-1.md",
    }
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["run-1.html", "run-1.json", "run-1.md"]
    found = json.loads(written["json"].read_text(encoding="utf-8"))
    assert found["verdict"] == "Pushed as version 2: no gate refused; 1 could not be judged (too few test images)."
    assert [GateResult.of(row) for row in found["gates"]] == pushed.gates
    for name in ("metrics", "comparisons", "gallery", "history", "splits", "versions", "anomalies"):
        assert found[name] == json.loads(json.dumps(getattr(pushed, name)))
        assert found[name]


def test_the_model_card_has_the_headings_of_model_cards(pushed: Facts) -> None:
    card = html.card(pushed)
    headings = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert headings == [
        "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
        "Quantitative analyses", "Ethical considerations", "Caveats and recommendations", "How to reproduce",
    ]  # fmt: skip
    overall = pushed.metrics["candidate"]["overall"]
    assert (
        f"| overall | {overall['count']:,} | {overall['accuracy']:.4f} | {html.interval(overall['interval'])} |" in card
    )
    assert "    python -m pipeline run --profile mnist\n" in card
    assert "Robustness was measured only under shift, rotation, noise, blur, contrast, at one severity each." in card


def gateline(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    given = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=given, timeout=300)


def test_the_terminal_says_it_in_short(root: Path, refused: Facts) -> None:
    done = gateline("report", 2, "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, card, figures, page = done.stdout.splitlines()
    assert first == refused.verdict
    reports = root / "reports"
    assert [card.split()[1], figures.split()[1], page.split()[1]] == [
        str(reports / f"run-2.{e}") for e in ("md", "json", "html")
    ]
    assert refused.comparisons[0]["words"] in done.stdout
    assert f"{refused.label_errors_counted} test images may be labelled wrongly" in done.stdout
    assert re.search(r"per_class +label=8 .* -0.0040 +refused", done.stdout)


def test_the_report_can_be_opened_in_the_browser(root: Path, tmp_path: Path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n', encoding="utf-8")
    browser.chmod(0o755)
    done = gateline("report", 1, "--root", root, "--open", BROWSER=f"{browser} %s")
    assert (done.returncode, done.stderr) == (0, "")
    assert opened.read_text(encoding="utf-8") == (root / "reports" / "run-1.html").absolute().as_uri()


def test_the_report_imports_neither_tensorflow_nor_beam(root: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom tests.pipeline.report_page import facts_of\n"
        "from pipeline.report import html\n"
        "print(len(html.page(facts_of(Path(sys.argv[1]), 1))) > 10_000,"
        " [n for n in ('tensorflow', 'apache_beam', 'keras') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, root], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("True []\n", "")
