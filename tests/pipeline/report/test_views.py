"""Contents of a report: gates, comparison, confusions, robustness, leakage, serving check."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from pipeline.report import accuracy, confusion, gates, html, limits
from pipeline.report.facts import Facts
from pipeline.runs.artifacts import StoredArtifacts
from pipeline.runs.contract import labels_of
from pipeline.store import Store
from tests.pipeline.command_line import gateline
from tests.pipeline.finished_run import finish
from tests.pipeline.predictions import CORRUPTIONS
from tests.pipeline.report_page import Page, edited, facts_of

NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def test_refused_gates_are_first_with_their_reasons(refused: Facts) -> None:
    visible, collapsed = gates.shown(refused.gates)
    assert [(gate.gate, gate.slice) for gate in visible[:3]] == [
        ("accuracy", "overall"),
        ("per_class", "label=8"),
        ("paired", "overall"),
    ]
    assert all(gate.passed for gate in visible[3:])
    assert collapsed == []
    text = Page(html.page(refused)).text
    for gate in visible[:3]:
        assert html.sentence(gate.reason).replace("\u00a0", " ") in text


def test_classes_are_collapsed_when_all_pass(pushed: Facts, page: Page) -> None:
    visible, collapsed = gates.shown(pushed.gates)
    assert [gate.slice for gate in collapsed] == [f"label={k}" for k in range(10)]
    assert "per_class" not in {gate.gate for gate in visible}
    assert "Each of the 10 classes passed; the closest is label=0 by +0.0105" in page.text


def test_folded_classes_state_the_level_at_which_they_passed(pushed: Facts) -> None:
    collapsed = [
        dataclasses.replace(gate, level="95% confidence for 10 slices together")
        for gate in gates.shown(pushed.gates)[1]
    ]
    assert gates.collapsed_summary(collapsed) == (
        "Each of the 10 classes passed at 95% confidence for 10 slices together; the closest is label=0 by +0.0105"
    )


def test_a_gate_with_too_few_examples_is_neither_passed_nor_refused(pushed: Facts) -> None:
    not_judged = dataclasses.replace(pushed.gates[3], verdict="too few examples", margin="")
    facts = edited(pushed, gates=[*pushed.gates[:3], not_judged, *pushed.gates[4:]])
    visible, collapsed = gates.shown(facts.gates)
    assert (visible[0].slice, visible[0].verdict, collapsed) == (not_judged.slice, "too few examples", [])
    assert f"Too few test images to judge: {not_judged.slice}" in " ".join(limits.limits(facts))


def test_a_test_split_that_changed_since_the_last_push_is_listed_as_a_limit(pushed: Facts) -> None:
    sentence = "The test split changed since version 1 was pushed."
    assert sentence not in " ".join(limits.limits(pushed))
    changed = edited(pushed, comparisons=[dataclasses.replace(pushed.comparisons[0], version=1, same_test=False)])
    assert sentence in " ".join(limits.limits(changed))


def test_candidate_and_baseline_are_shown_with_intervals(pushed: Facts, page: Page) -> None:
    rows = accuracy.classes(pushed)
    assert [row["name"] for row in rows] == ["overall", *map(str, range(10))]
    for row in rows:
        candidate, baseline = row["candidate"], row["baseline"]
        values = [
            html.number(candidate["accuracy"]),
            html.interval(candidate["interval"]),
            html.number(baseline["accuracy"]),
        ]
        assert " ".join(values[:2]) in page.text
        assert values[2] in page.text
        assert row["difference"] == pytest.approx(candidate["accuracy"] - baseline["accuracy"])
    assert html.sentence(pushed.comparisons[0].message).replace("\u00a0", " ") in page.text


def test_label_names_are_shown(tmp_path: Path) -> None:
    names, root = NAMES, Store(tmp_path / "root").root
    facts = facts_of(root, finish(root, refused=("per_class:label=8",), names=names))
    text = Page(html.page(facts)).text
    assert facts.verdict.startswith("Refused: accuracy on label=8 (Bag) is ")
    assert "label=8 (Bag) ≥ " in text
    pair = confusion.pairs(facts)[0]
    assert f"Most common: {names[pair.label]} predicted as {names[pair.predicted]} ({pair.images})" in text
    assert (
        f"label {names[facts.gallery['mistakes'][0].label]}, "
        f"predicted {names[facts.gallery['mistakes'][0].predicted]}" in text
    )
    assert [row["name"] for row in accuracy.classes(facts)][:3] == ["overall", "0 T-shirt/top", "1 Trouser"]
    assert "label=1 (Trouser), ink=below 0.1" in [row["name"] for row in accuracy.slices(facts)]
    assert "| class 9 Ankle boot |" in html.card(facts)
    assert "| per\\_class | label=8 (Bag) |" in html.card(facts)


def test_label_names_are_known_after_the_artifacts_are_deleted(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    number = finish(root, names=NAMES)
    shutil.rmtree(root / "artifacts")
    assert facts_of(root, number).names == NAMES


def test_label_names_of_older_versions_are_read_from_the_recorded_contract(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    rows = Lineage.at(root, None).executions(finish(root, names=NAMES))
    for row in rows:
        row["facts"].pop("labels", None)  # of version 0.1
    assert labels_of(StoredArtifacts(Store(root), rows)).names == NAMES


def test_images_on_which_the_models_disagree_are_shown(pushed: Facts, page: Page) -> None:
    test = pushed.comparisons[0].test
    assert test
    assert test.only_candidate >= len(pushed.gallery["gained"]) > 0
    assert test.only_other >= len(pushed.gallery["lost"]) > 0
    count = sum(len(pushed.gallery[name]) for name in ("mistakes", "lost", "gained", "samples"))
    assert len(page.all("img")) == count
    entry = pushed.gallery["lost"][0]
    assert f"Test image {entry.index}, labelled {entry.label}, predicted as {entry.predicted}" in page.values("alt")


def test_a_missing_baseline_is_stated(root: Path) -> None:
    facts = facts_of(root, 3)
    assert "No model was served when this run started" in Page(html.page(facts)).text
    assert "Nothing was served yet, so there was no model to compare with." in html.card(facts)


def test_leaked_images_are_excluded_and_both_accuracies_are_shown(pushed: Facts, page: Page, refused: Facts) -> None:
    with_leaked, without = pushed.metrics["candidate"]["with_leaked"], pushed.metrics["candidate"]["overall"]
    assert with_leaked["count"] - without["count"] == 23
    message = f"accuracy is {without['accuracy']:.4f} without them, and {with_leaked['accuracy']:.4f} with them"
    assert f"23 test images are also in train or validation. All metrics exclude them: {message}." in page.text
    assert "Leakage" not in Page(html.page(refused)).text


def test_confident_mistakes_are_listed_as_likely_label_errors(pushed: Facts, page: Page) -> None:
    label_errors = pushed.label_errors
    assert 0 < len(label_errors) < len(pushed.gallery["mistakes"])
    assert all((entry.top[0][1] or 0) > 0.95 for entry in label_errors)
    assert page.text.index("Likely label errors") < page.text.index("Other confident mistakes")


def test_only_mistakes_are_coloured_in_the_confusion_matrix() -> None:
    heat = confusion.heat([[90, 10, 0], [0, 100, 0], [5, 0, 195]])
    assert [heat[i][i] for i in range(3)] == [0, 0, 0]
    assert heat[0][1] == 1
    assert 0 < heat[2][0] < 1
    assert confusion.heat([[3, 0], [0, 0]]) == [[0, 0], [0, 0]]


def test_robustness_calibration_and_slices_are_shown(pushed: Facts, page: Page) -> None:
    candidate = pushed.metrics["candidate"]
    for name in CORRUPTIONS:
        assert f"{name} 1,000 {candidate['corruptions'][name]['accuracy']:.4f}" in page.text
    assert f"candidate {candidate['overall']['ece']:.4f} {candidate['overall']['brier']:.4f}" in page.text
    names = [row["name"] for row in accuracy.slices(pushed)]
    assert {"ink=below 0.1", "label=8, ink=0.1 to 0.2"} <= set(names)
    assert all(name in page.text for name in names)


def test_the_results_of_the_serving_check_are_shown(root: Path, page: Page) -> None:
    assert "the model loads in 0.21 s and takes at most 61 MB in addition to TensorFlow itself." in page.text
    assert "signature images median, ms p95, ms p99, ms calls" in page.text
    for row in ("serving_default 1 0.40 0.60 0.90 120", "images 32 1.20 1.80 2.70 120"):
        assert row in page.text
    output = gateline("show", "1", "--root", root).stdout
    assert "serving check: loads in 0.21 s, answers in 0.40 ms, p99 0.90 ms, 61 MB" in output


def test_unused_classes_are_counted_and_named(pushed: Facts) -> None:
    assert limits.unused(pushed) == ""
    one = edited(pushed, unused=(3,))
    assert limits.unused(one) == "1 class is declared unused and not judged by gates: 3."
    many = edited(pushed, unused=tuple(range(10, 17)), names=tuple("abcdefghijklmnopq"))
    sentence = (
        "7 classes are declared unused and not judged by gates: 10 (k), 11 (l), 12 (m), 13 (n), 14 (o) and 2 more."
    )
    assert limits.unused(many) == sentence
    assert sentence in limits.limits(many)
    assert sentence in Page(html.page(many)).text
