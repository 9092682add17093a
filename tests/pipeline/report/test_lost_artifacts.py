"""Reports of moved stores, and of deleted, replaced or damaged artifacts: their statements stay correct."""

import dataclasses
import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.lineage import Lineage
from pipeline.report import comparisons, html, index
from pipeline.report.facts import SplitFacts
from pipeline.store import Store
from schemas.artifacts import Comparison, GateResult
from schemas.artifacts.comparison import Verdict
from schemas.errors import ConfigurationError
from schemas.text import printable
from tests.pipeline.command_line import gateline
from tests.pipeline.finished_run import finish
from tests.pipeline.predictions import Predictions
from tests.pipeline.report.test_compare import NEW, OLD, comparison_of, evaluated_run
from tests.pipeline.report.test_index import gather_index
from tests.pipeline.report_page import Page, edited, facts_of

FEW = Predictions.random(n=200)
NOT_REACHED = "The run did not reach"
CONTROL_CHARACTERS = "\x1b]0;owned\x07\x1b[31m\x9b2J\x00\r"
PRINTABLE = "]0;owned[31m2J"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with one pushed run."""
    root = Store(tmp_path / "root").root
    finish(root, FEW)
    return root


def artifact_folder(root: Path, stage: str) -> Path:
    [folder] = (root / "artifacts" / stage).iterdir()
    return folder


def compared_with(comparison: Comparison, verdict: Verdict, **changes: Any) -> Comparison:
    """The comparison with another verdict of its test."""
    assert comparison.test
    test = dataclasses.replace(comparison.test, verdict=verdict, **changes)
    return dataclasses.replace(comparison, test=test)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def test_a_report_works_after_the_working_directory_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finish(Store(Path("root")).root, FEW)
    (tmp_path / "elsewhere").mkdir()
    done = gateline("report", "--json", "--root", tmp_path / "root", cwd=tmp_path / "elsewhere")
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert (report["missing"], report["damaged"]) == ([], {})
    assert report["gates"] and report["metrics"] and report["history"] and report["splits"] and report["versions"]


def test_the_report_of_a_copied_store_reads_the_copy(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    for name in ("gates.json", "metrics.json"):
        (artifact_folder(root, "evaluate") / name).write_text("[]", encoding="utf-8")
    (artifact_folder(tmp_path / "copy", "train") / "history.json").write_text("[]", encoding="utf-8")
    facts = facts_of(tmp_path / "copy", 1)
    assert facts.gates and facts.candidate
    assert facts.history == []
    shutil.rmtree(root)
    facts = facts_of(tmp_path / "copy", 1)
    assert "evaluate" not in facts.missing
    assert facts.images is not None and len(facts.images)


@pytest.mark.parametrize("path", ["serving/mnist/2", "/nowhere/mnist/2", "/" + "x" * 5000, "/a\0b"])
def test_a_report_is_written_for_any_recorded_path(root: Path, path: str) -> None:
    lineage = Lineage.at(root, None)
    lineage.executed(
        1, "push", state="ran", why="", seconds=0.1, digest="f" * 64, path=path, facts={"version": 2, "new": True}
    )
    lineage.engine.dispose()
    assert facts_of(root, 1).missing == (["push"] if path.startswith("/") else [])


def test_a_deleted_artifact_is_not_reported_as_never_reached(root: Path) -> None:
    shutil.rmtree(root / "artifacts")
    facts = facts_of(root, 1)
    assert facts.verdict == "Pushed as version 2: no gate refused."
    for text in (Page(html.page(facts)).text, html.card(facts)):
        assert NOT_REACHED not in text
        assert "The artifact of evaluate was deleted from the store or replaced." in text
    text = Page(html.page(facts)).text
    for message in (
        "was not measured",
        "was not validated",
        "None were evaluated",
        "No images were stored",
        "No model was served",
        "None were recorded",
    ):
        assert message not in text
    assert all(f"The artifact of {stage} was deleted" in text for stage in ("train", "validate"))


EVALUATION = ("metrics.json", "gates.json", "comparisons.json", "gallery.json", "gallery.npy")
FILES = [*(("evaluate", name) for name in EVALUATION), ("train", "history.json"), ("validate", "anomalies.json")]
FILES += [("describe", "stats.tfrecord")]
# An artifact with an incomplete manifest is damaged; one without a manifest does not exist.
DAMAGES = [
    *((*file, damage) for file in FILES for damage in (truncate, Path.unlink)),
    ("evaluate", "manifest.json", truncate),
]


@pytest.mark.parametrize(("stage", "file", "damage"), DAMAGES)
def test_a_damaged_file_is_named_and_not_reported_as_never_reached(
    root: Path, stage: str, file: str, damage: Callable[[Path], None]
) -> None:
    damage(artifact_folder(root, stage) / file)
    facts = facts_of(root, 1)
    assert (facts.damaged, facts.missing) == ({stage: [file]}, [])
    text = Page(html.page(facts)).text
    assert f"Damaged: {file} of {stage}. Their contents are not in this report." in text
    assert NOT_REACHED not in text + html.card(facts)
    if file.endswith(".json"):
        assert f"{file} of {stage} is damaged and cannot be read." in text


def test_the_terminal_names_damaged_files(root: Path) -> None:
    truncate(artifact_folder(root, "evaluate") / "gates.json")
    done = gateline("report", "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "damaged: gates.json of evaluate" in done.stdout


def test_stages_that_were_not_reached_are_reported(root: Path) -> None:
    lineage = Lineage.at(root, None)
    number = lineage.start(profile="p", command="", config={})
    lineage.executed(number, "evaluate", state="failed", why="no memory", seconds=1.0, key="k")
    lineage.finish(number, state="failed", exit_code=1, message="RuntimeError: no memory")
    lineage.engine.dispose()
    facts = facts_of(root, number)
    assert (facts.missing, facts.damaged) == ([], {})
    text = Page(html.page(facts)).text
    assert all(f"{NOT_REACHED} {part}." in text for part in ("the gates", "the evaluation", "the train stage"))


def test_a_run_that_failed_in_evaluate_has_no_evaluation(tmp_path: Path) -> None:
    root = tmp_path / "root"
    evaluated_run(root, OLD)
    lineage = Lineage.at(root, None)
    number = lineage.start(profile="p", command="", config={})
    lineage.executed(number, "evaluate", state="failed", why="no memory", seconds=1.0, key="k")
    lineage.finish(number, state="failed", exit_code=1)
    lineage.engine.dispose()
    refusal = comparison_of(root, 1, number).refusal
    assert refusal
    assert refusal.cause == "run 2 has no evaluation: it ended as failed"


@pytest.mark.parametrize("name", ["gates.json", "comparisons.json"])
def test_the_index_marks_the_row_of_a_damaged_file(root: Path, name: str) -> None:
    finish(root, FEW)
    truncate(root / "artifacts/evaluate" / f"0001{6:012d}" / name)
    index_ = gather_index(root)
    assert [row.damaged for row in index_.rows] == [[], [name]]
    assert "Every gate passed" not in index_.rows[1].why
    assert f"Damaged: {name}." in index.write(index_, root / "reports")["html"].read_text(encoding="utf-8")


def test_damaged_metrics_do_not_prevent_a_comparison(tmp_path: Path) -> None:
    root = tmp_path / "root"
    evaluated_run(root, OLD)
    evaluated_run(root, NEW)
    truncate(root / "artifacts/evaluate/evaluate1/metrics.json")
    comparison = comparison_of(root, 1, 2)
    assert comparison.paired
    assert (comparison.paired.verdict, comparison.damaged, comparison.slices) == (
        "better",
        ["metrics.json of run 1"],
        [],
    )
    assert comparison.overall[0].old == pytest.approx(OLD.mean())
    assert "damaged: metrics.json of run 1" in gateline("compare", 1, 2, "--root", root).stdout


def test_a_damaged_list_of_leaked_images_prevents_a_paired_comparison(tmp_path: Path) -> None:
    root = tmp_path / "root"
    evaluated_run(root, OLD)
    evaluated_run(root, NEW, leaked=tuple(range(50)))
    truncate(root / "artifacts/describe/describe2/leaked.json")
    refusal = comparison_of(root, 1, 2).refusal
    assert isinstance(refusal, ConfigurationError)
    assert refusal.cause == "leaked.json of run 2 cannot be read: which test images it also trained on is unknown"


def test_control_characters_in_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    numbers = [
        finish(root, FEW, refused=("accuracy",), profile=CONTROL_CHARACTERS, command=f"run {CONTROL_CHARACTERS}")
        for _ in range(2)
    ]
    for folder in (root / "artifacts/evaluate").iterdir():
        gates = json.loads((folder / "gates.json").read_text(encoding="utf-8"))
        (folder / "gates.json").write_text(
            json.dumps([gate | {"slice": CONTROL_CHARACTERS} for gate in gates]), encoding="utf-8"
        )
    lineage = Lineage.at(root, None)
    lineage.finish(
        numbers[0], state="refused", exit_code=3, message=f"refused: {CONTROL_CHARACTERS}\n  {CONTROL_CHARACTERS}"
    )
    lineage.engine.dispose()
    (root / "serving" / CONTROL_CHARACTERS.replace("\0", "") / "1").mkdir(parents=True)
    (root / "serving" / CONTROL_CHARACTERS.replace("\0", "") / "1/provenance.json").write_text(
        '{"model": "m"}', encoding="utf-8"
    )
    for command in (("report", 1), ("report", "--index"), ("compare", 1, 2), ("runs",), ("show", 1)):
        output = gateline(*command, "--root", root).stdout
        assert PRINTABLE in output
        assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", output) == []


def test_pages_and_plots_contain_no_control_characters(root: Path) -> None:
    facts = facts_of(root, 1)
    candidate = facts.metrics["candidate"]
    metrics = {"candidate": {**candidate, "corruptions": {CONTROL_CHARACTERS: candidate["overall"]}}}
    split = SplitFacts({CONTROL_CHARACTERS: 3}, 0, {}, CONTROL_CHARACTERS, {CONTROL_CHARACTERS: 1})
    splits = {CONTROL_CHARACTERS: split}
    facts = edited(facts, run={**facts.run, "profile": CONTROL_CHARACTERS}, metrics=metrics, splits=splits)
    page = html.page(facts)
    card = html.card(facts)
    assert PRINTABLE in page
    assert PRINTABLE in card.replace("\\", "")
    assert (printable(page), printable(card)) == (page, card)
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(svgs) > 4
    for svg in svgs:
        ET.fromstring(svg)


def test_the_plot_of_the_index_is_well_formed_with_hostile_gate_names(root: Path) -> None:
    path = artifact_folder(root, "evaluate") / "gates.json"
    path.write_text(
        json.dumps([gate | {"gate": CONTROL_CHARACTERS} for gate in json.loads(path.read_text(encoding="utf-8"))]),
        encoding="utf-8",
    )
    page = index.write(gather_index(root), root / "reports")["html"].read_text(encoding="utf-8")
    assert printable(page) == page
    [svg] = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert PRINTABLE in " ".join(ET.fromstring(svg).itertext())


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
