"""Contents of a report: gates, comparison, confusions, robustness, leakage, serving check."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.report import html, views
from pipeline.report.facts import Facts
from pipeline.store import Store
from tests.pipeline.answers import CORRUPTIONS
from tests.pipeline.command_line import gateline
from tests.pipeline.finished_run import finish
from tests.pipeline.report_page import Page, edited, facts_of


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


def test_folded_classes_state_the_level_at_which_they_passed(pushed: Facts) -> None:
    folded = [
        dataclasses.replace(gate, level="95% confidence for 10 slices together") for gate in views.gates(pushed)[1]
    ]
    assert views.collapsed_summary(folded) == (
        "Each of the 10 classes passed at 95% confidence for 10 slices together; the closest is label=0 by +0.0105"
    )


def test_a_gate_that_could_not_be_judged_is_neither_passed_nor_refused(pushed: Facts) -> None:
    few = dataclasses.replace(pushed.gates[3], verdict="too few examples", margin="")
    found = edited(pushed, gates=[*pushed.gates[:3], few, *pushed.gates[4:]])
    shown, folded = views.gates(found)
    assert (shown[0].slice, shown[0].verdict, folded) == (few.slice, "too few examples", [])
    assert f"Too few test images to judge: {few.slice}" in " ".join(views.limits(found))


def test_a_test_split_that_changed_since_the_last_push_is_a_limit(pushed: Facts) -> None:
    sentence = "The test split changed since version 1 was pushed."
    assert sentence not in " ".join(views.limits(pushed))
    changed = edited(pushed, comparisons=[pushed.comparisons[0] | {"version": 1, "same_test": False}])
    assert sentence in " ".join(views.limits(changed))


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
    assert f"Most common: {names[label]} predicted as {names[other]} ({images})" in text
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
    assert f"Test image {entry['index']}, labelled {entry['label']}, predicted as {entry['predicted']}" in page.values(
        "alt"
    )


def test_without_a_baseline_the_page_says_so(root: Path) -> None:
    found = facts_of(root, 3)
    assert "No model was served when this run started" in Page(html.page(found)).text
    assert "Nothing was served yet, so there was no model to compare with." in html.card(found)


def test_leaked_images_are_counted_out_and_both_figures_given(pushed: Facts, page: Page, refused: Facts) -> None:
    with_, without = pushed.metrics["candidate"]["with_leaked"], pushed.metrics["candidate"]["overall"]
    assert with_["count"] - without["count"] == 23
    words = f"accuracy is {without['accuracy']:.4f} without them, and {with_['accuracy']:.4f} with them"
    assert f"23 test images are also in train or validation. All metrics exclude them: {words}." in page.text
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


def test_unused_classes_are_counted_and_named(pushed: Facts) -> None:
    assert views.unused(pushed) == ""
    one = edited(pushed, unused=(3,))
    assert views.unused(one) == "1 class is declared unused and not judged by gates: 3."
    many = edited(pushed, unused=tuple(range(10, 17)), names=tuple("abcdefghijklmnopq"))
    sentence = (
        "7 classes are declared unused and not judged by gates: 10 (k), 11 (l), 12 (m), 13 (n), 14 (o) and 2 more."
    )
    assert views.unused(many) == sentence
    assert sentence in views.limits(many)
    assert sentence in Page(html.page(many)).text
