"""Statements of a report that depend on verdicts: the headline, the best version, likely label errors."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pipeline.report import comparisons, html
from pipeline.store import Store
from schemas.artifacts import Comparison, GateResult
from schemas.artifacts.comparison import Verdict
from tests.pipeline.finished_run import finish
from tests.pipeline.predictions import Predictions
from tests.pipeline.report_page import Page, edited, facts_of

FEW = Predictions.random(n=200)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with one pushed run."""
    root = Store(tmp_path / "root").root
    finish(root, FEW)
    return root


def compared_with(comparison: Comparison, verdict: Verdict, **changes: Any) -> Comparison:
    """The comparison with another verdict of its test."""
    assert comparison.test
    test = dataclasses.replace(comparison.test, verdict=verdict, **changes)
    return dataclasses.replace(comparison, test=test)


def test_the_headline_reports_gates_that_could_not_be_judged(root: Path) -> None:
    gates = facts_of(root, 1).gates
    few = sum(gate.verdict == "too few examples" for gate in gates)
    assert few >= 10
    paired = next(gate for gate in gates if gate.gate == "paired")

    def verdict(of_test: Verdict, *rest: GateResult, state: str = "pushed") -> str:
        facts = facts_of(root, 1)
        comparisons = [compared_with(each, of_test) for each in facts.comparisons]
        run = {**facts.run, "state": state}
        return edited(facts, run=run, gates=[paired, *rest], comparisons=comparisons).verdict

    not_judged_gates = [gate for gate in gates if gate.verdict == "too few examples"]
    not_judged = f"{few} could not be judged (too few test images)"
    assert verdict("better") == "Pushed as version 2: every gate passed."
    assert verdict("better", *not_judged_gates) == f"Pushed as version 2: no gate refused; {not_judged}."
    allowed = "worse than the served model, which gates.paired allows"
    assert verdict("worse") == f"Pushed as version 2: no gate refused; {allowed}."
    allowed = "undecided against the served model, which gates.paired allows"
    assert verdict("undecided", *not_judged_gates) == f"Pushed as version 2: no gate refused; {not_judged}; {allowed}."
    already_held = "Nothing changed: version 2 already holds this model"
    assert verdict("equivalent", state="unchanged") == f"{already_held}."
    assert (
        verdict("equivalent", *not_judged_gates, state="unchanged") == f"{already_held}; no gate refused; {not_judged}."
    )


@pytest.mark.parametrize(("verdict", "within"), [("equivalent", "within"), ("undecided", "not shown to be within")])
def test_a_served_version_that_is_also_the_best_is_compared_once(root: Path, verdict: Verdict, within: str) -> None:
    facts = facts_of(root, 1)
    [served] = facts.comparisons
    best = compared_with(served, verdict, margin=0.01)
    best = dataclasses.replace(best, model="best", message="a hidden message")
    facts = edited(facts, comparisons=[served, best])
    text = Page(html.page(facts)).text
    assert f"It is also the best version ever served; {within} the budget of 1 point." in text
    assert "a hidden message" not in text + html.card(facts)
    assert len(comparisons.counts(facts.comparisons)) == 1
    assert "version 1, the best so far" in text
    other = edited(facts, comparisons=[served, dataclasses.replace(best, version=7)])
    assert "Against the best version ever served: a hidden message." in Page(html.page(other)).text
    assert len(comparisons.counts(other.comparisons)) == 2


def test_label_errors_are_those_flagged_by_evaluate(root: Path) -> None:
    facts = facts_of(root, 1)
    confident, unconfident = (
        dataclasses.replace(facts.gallery["mistakes"][0], top=((1, p), (2, 0.0), (3, 0.0))) for p in (0.99, 0.4)
    )
    mistakes = [dataclasses.replace(confident, suspect=False), dataclasses.replace(unconfident, suspect=True)]
    flagged = edited(facts, gallery={**facts.gallery, "mistakes": mistakes})
    assert [entry.top[0][1] for entry in flagged.label_errors] == [0.4]
    text = Page(html.page(flagged)).text
    assert (
        text.index("Likely label errors")
        < text.index("40.0 %")
        < text.index("Other confident mistakes")
        < text.index("99.0 %")
    )
    assert "confident learning, Northcutt, Jiang and Chuang 2021" in text
    old = edited(facts, gallery={**facts.gallery, "mistakes": [confident, unconfident]})
    assert [entry.top[0][1] for entry in old.label_errors] == [0.99]
    assert "more than 95 % confident" in Page(html.page(old)).text.replace("\u00a0", " ")
