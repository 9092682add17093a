"""Refusals of many slices are combined into one sentence that names the worst."""

import dataclasses

from rich.console import Console

from pipeline.report import terminal
from schemas.artifacts import GateResult, ranked, refusals


def result(label: int, accuracy: float, *, floor: float = 0.3, too_few: bool = False) -> GateResult:
    passed = too_few or accuracy >= floor
    verdict = "too few examples" if too_few else ""
    return GateResult(
        "per_class", f"label={label}", f"≥ {floor:.4f}", f"{accuracy:.4f}, at most {accuracy:.4f}", passed,
        "" if passed else f"label {label} refused", floor, accuracy, verdict, f"{accuracy - floor:+.4f}",
    )  # fmt: skip


MANY_RESULTS = [result(label, label / 200) for label in range(200)]
OVERALL = GateResult("accuracy", "overall", "≥ 0.9000", "0.5000", False, "accuracy is 0.5", 0.9, 0.5, margin="-0.4000")


def test_few_refusals_are_listed_separately():
    assert refusals([OVERALL, *MANY_RESULTS[58:]]) == ("accuracy is 0.5", "label 58 refused", "label 59 refused")
    assert refusals(MANY_RESULTS[60:]) == ()


def test_many_refusals_of_one_gate_are_one_sentence_with_the_ten_lowest():
    first, second = refusals([OVERALL, *reversed(MANY_RESULTS)])
    assert first == "accuracy is 0.5"
    lowest = ", ".join(f"label={label} {label / 200:.4f}" for label in range(10))
    assert second == f"gates.per_class refuses 60 of 200 classes that are below 0.3; the worst 10: {lowest}"


def test_the_sentence_on_many_refusals_states_their_level():
    level = "95% confidence for 200 slices together"
    (sentence,) = refusals(
        [result(0, 0.0), *(dataclasses.replace(result_, level=level) for result_ in MANY_RESULTS[1:])]
    )
    start = f"gates.per_class refuses 60 of 200 classes that are below 0.3 at {level}; the worst 10: label=0 0.0000, "
    assert sentence.startswith(start)


def test_results_are_ranked_by_their_margin_with_unjudged_ones_last():
    too_few = result(7, 0.01, too_few=True)
    order = ranked([too_few, MANY_RESULTS[100], MANY_RESULTS[61], MANY_RESULTS[3]])
    assert [result_.slice for result_ in order] == ["label=3", "label=61", "label=100", "label=7"]


def test_the_terminal_shows_the_ten_closest_of_many_slices_and_counts_the_rest():
    console = Console(width=200, record=True)
    console.print(terminal.gates([OVERALL, *MANY_RESULTS]))
    text = console.export_text()
    assert text.count("per_class") == 10
    assert "and 190 more: 50 refused, 140 passed" in text
    assert "overall" in text


def test_the_terminal_shows_all_of_a_few_slices():
    console = Console(width=200, record=True)
    console.print(terminal.gates(MANY_RESULTS[50:70]))
    assert console.export_text().count("per_class") == 20
