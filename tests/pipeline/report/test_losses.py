"""Reports of stores that moved, and of artifacts that are gone, made again or damaged: what is said of them is true."""

import dataclasses
import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from pipeline.report import html, index, views
from pipeline.store import Store
from schemas.artifacts import GateResult
from schemas.errors import ConfigurationError
from schemas.text import printable
from tests.pipeline.command_line import gateline
from tests.pipeline.finished_run import finish
from tests.pipeline.predictions import Predictions
from tests.pipeline.report.test_compare import NEW, OLD, beside, evaluated
from tests.pipeline.report.test_index import gathered
from tests.pipeline.report_page import Page, edited, facts_of

FEW = Predictions.random(n=200)
NOT_REACHED = "The run did not reach"
DRIVES = "\x1b]0;owned\x07\x1b[31m\x9b2J\x00\r"
BARE = "]0;owned[31m2J"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with one pushed run."""
    root = Store(tmp_path / "root").root
    finish(root, FEW)
    return root


def left(root: Path, stage: str) -> Path:
    [folder] = (root / "artifacts" / stage).iterdir()
    return folder


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def test_a_report_needs_no_path_that_the_run_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finish(Store(Path("root")).root, FEW)
    (tmp_path / "elsewhere").mkdir()
    done = gateline("report", "--json", "--root", tmp_path / "root", cwd=tmp_path / "elsewhere")
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert (found["missing"], found["damaged"]) == ([], {})
    assert found["gates"] and found["metrics"] and found["history"] and found["splits"] and found["versions"]


def test_the_report_of_a_copy_is_of_the_copy(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    for name in ("gates.json", "metrics.json"):
        (left(root, "evaluate") / name).write_text("[]", encoding="utf-8")
    (left(tmp_path / "copy", "train") / "history.json").write_text("[]", encoding="utf-8")
    found = facts_of(tmp_path / "copy", 1)
    assert found.gates and found.candidate
    assert found.history == []
    shutil.rmtree(root)
    found = facts_of(tmp_path / "copy", 1)
    assert "evaluate" not in found.missing
    assert found.images is not None and len(found.images)


@pytest.mark.parametrize("path", ["serving/mnist/2", "/nowhere/mnist/2", "/" + "x" * 5000, "/a\0b"])
def test_whatever_path_push_recorded_there_is_a_report(root: Path, path: str) -> None:
    lineage = Lineage.at(root, None)
    lineage.executed(
        1, "push", state="ran", why="", seconds=0.1, digest="f" * 64, path=path, facts={"version": 2, "new": True}
    )
    lineage.engine.dispose()
    assert facts_of(root, 1).missing == (["push"] if path.startswith("/") else [])


def test_what_is_gone_is_not_said_to_have_never_been(root: Path) -> None:
    shutil.rmtree(root / "artifacts")
    found = facts_of(root, 1)
    assert found.verdict == "Pushed as version 2: no gate refused."
    for text in (Page(html.page(found)).text, html.card(found)):
        assert NOT_REACHED not in text
        assert "The artifact of evaluate was deleted from the store or replaced." in text
    text = Page(html.page(found)).text
    for words in (
        "was not measured",
        "was not validated",
        "None were evaluated",
        "No images were stored",
        "No model was served",
        "None were recorded",
    ):
        assert words not in text
    assert all(f"The artifact of {stage} was deleted" in text for stage in ("train", "validate"))


EVALUATION = ("metrics.json", "gates.json", "comparisons.json", "gallery.json", "gallery.npy")
FILES = [*(("evaluate", name) for name in EVALUATION), ("train", "history.json"), ("validate", "anomalies.json")]
FILES += [("describe", "stats.tfrecord")]
# An artifact without a manifest does not exist: it is gone, not damaged.
HARMS = [*((*file, harm) for file in FILES for harm in (cut, Path.unlink)), ("evaluate", "manifest.json", cut)]


@pytest.mark.parametrize(("stage", "name", "harm"), HARMS)
def test_a_damaged_file_is_named_and_nothing_false_is_said(
    root: Path, stage: str, name: str, harm: Callable[[Path], None]
) -> None:
    harm(left(root, stage) / name)
    found = facts_of(root, 1)
    assert (found.damaged, found.missing) == ({stage: [name]}, [])
    text = Page(html.page(found)).text
    assert f"Damaged: {name} of {stage}. Their contents are not in this report." in text
    assert NOT_REACHED not in text + html.card(found)
    if name.endswith(".json"):
        assert f"{name} of {stage} is damaged and cannot be read." in text


def test_the_terminal_names_what_is_damaged(root: Path) -> None:
    cut(left(root, "evaluate") / "gates.json")
    done = gateline("report", "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "damaged: gates.json of evaluate" in done.stdout


def test_what_a_run_did_not_come_to_is_still_said_so(root: Path) -> None:
    lineage = Lineage.at(root, None)
    number = lineage.start(profile="p", command="", config={})
    lineage.executed(number, "evaluate", state="failed", why="no memory", seconds=1.0, key="k")
    lineage.finish(number, state="failed", exit_code=1, message="RuntimeError: no memory")
    lineage.engine.dispose()
    found = facts_of(root, number)
    assert (found.missing, found.damaged) == ([], {})
    text = Page(html.page(found)).text
    assert all(f"{NOT_REACHED} {what}." in text for what in ("the gates", "the evaluation", "the train stage"))


def test_a_run_that_failed_in_evaluate_has_no_evaluation_that_could_be_gone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    evaluated(root, OLD)
    lineage = Lineage.at(root, None)
    number = lineage.start(profile="p", command="", config={})
    lineage.executed(number, "evaluate", state="failed", why="no memory", seconds=1.0, key="k")
    lineage.finish(number, state="failed", exit_code=1)
    lineage.engine.dispose()
    refusal = beside(root, 1, number).refusal
    assert refusal
    assert refusal.cause == "run 2 has no evaluation: it ended as failed"


@pytest.mark.parametrize("name", ["gates.json", "comparisons.json"])
def test_a_damaged_file_costs_the_index_one_row_which_says_so(root: Path, name: str) -> None:
    finish(root, FEW)
    cut(root / "artifacts/evaluate" / f"0001{6:012d}" / name)
    found = gathered(root)
    assert [row.damaged for row in found.rows] == [[], [name]]
    assert "Every gate passed" not in found.rows[1].why
    assert f"Damaged: {name}." in index.write(found, root / "reports")["html"].read_text(encoding="utf-8")


def test_damaged_figures_do_not_keep_runs_from_being_compared(tmp_path: Path) -> None:
    root = tmp_path / "root"
    evaluated(root, OLD)
    evaluated(root, NEW)
    cut(root / "artifacts/evaluate/evaluate1/metrics.json")
    found = beside(root, 1, 2)
    assert found.paired
    assert (found.paired["verdict"], found.damaged, found.slices) == ("better", ["metrics.json of run 1"], [])
    assert found.overall[0]["old"] == pytest.approx(OLD.mean())
    assert "damaged: metrics.json of run 1" in gateline("compare", 1, 2, "--root", root).stdout


def test_without_knowing_what_leaked_there_is_no_paired_comparison(tmp_path: Path) -> None:
    root = tmp_path / "root"
    evaluated(root, OLD)
    evaluated(root, NEW, leaked=tuple(range(50)))
    cut(root / "artifacts/describe/describe2/leaked.json")
    refusal = beside(root, 1, 2).refusal
    assert isinstance(refusal, ConfigurationError)
    assert refusal.cause == "leaked.json of run 2 cannot be read: which test images it also trained on is unknown"


def test_names_cannot_drive_the_terminal(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    numbers = [finish(root, FEW, refused=("accuracy",), profile=DRIVES, command=f"run {DRIVES}") for _ in range(2)]
    for folder in (root / "artifacts/evaluate").iterdir():
        gates = json.loads((folder / "gates.json").read_text(encoding="utf-8"))
        (folder / "gates.json").write_text(json.dumps([gate | {"slice": DRIVES} for gate in gates]), encoding="utf-8")
    lineage = Lineage.at(root, None)
    lineage.finish(numbers[0], state="refused", exit_code=3, message=f"refused: {DRIVES}\n  {DRIVES}")
    lineage.engine.dispose()
    (root / "serving" / DRIVES.replace("\0", "") / "1").mkdir(parents=True)
    (root / "serving" / DRIVES.replace("\0", "") / "1/provenance.json").write_text('{"model": "m"}', encoding="utf-8")
    for command in (("report", 1), ("report", "--index"), ("compare", 1, 2), ("runs",), ("show", 1)):
        said = gateline(*command, "--root", root).stdout
        assert BARE in said
        assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said) == []


def test_pages_and_plots_hold_no_control_characters(root: Path) -> None:
    found = facts_of(root, 1)
    candidate = found.metrics["candidate"]
    metrics = {"candidate": {**candidate, "corruptions": {DRIVES: candidate["overall"]}}}
    row = {"labels": {DRIVES: 3}, "copies": 0, "leaked": {}, "size": DRIVES, "formats": {DRIVES: 1}}
    splits = {DRIVES: row}
    found = edited(found, run={**found.run, "profile": DRIVES}, metrics=metrics, splits=splits)
    page = html.page(found)
    card = html.card(found)
    assert BARE in page
    assert BARE in card.replace("\\", "")
    assert (printable(page), printable(card)) == (page, card)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) > 4
    for drawing in drawings:
        ET.fromstring(drawing)


def test_the_plot_of_the_index_is_well_formed_whatever_gates_are_called(root: Path) -> None:
    path = left(root, "evaluate") / "gates.json"
    path.write_text(
        json.dumps([gate | {"gate": DRIVES} for gate in json.loads(path.read_text(encoding="utf-8"))]), encoding="utf-8"
    )
    page = index.write(gathered(root), root / "reports")["html"].read_text(encoding="utf-8")
    assert printable(page) == page
    [drawing] = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert BARE in " ".join(ET.fromstring(drawing).itertext())


def test_the_headline_says_what_no_gate_could_judge(root: Path) -> None:
    gates = facts_of(root, 1).gates
    few = sum(gate.verdict == "too few examples" for gate in gates)
    assert few >= 10
    paired = next(gate for gate in gates if gate.gate == "paired")

    def verdict(measured: str, *rest: GateResult, state: str = "pushed") -> str:
        found, judged = facts_of(root, 1), dataclasses.replace(paired, measured=measured)
        return edited(found, run={**found.run, "state": state}, gates=[judged, *rest]).verdict

    blank = [gate for gate in gates if gate.verdict == "too few examples"]
    none = f"{few} could not be judged (too few test images)"
    assert verdict("better, +0.50 points") == "Pushed as version 2: every gate passed."
    assert verdict("better, +0.50 points", *blank) == f"Pushed as version 2: no gate refused; {none}."
    let = "worse than the served model, which gates.paired allows"
    assert verdict("worse, -0.50 points") == f"Pushed as version 2: no gate refused; {let}."
    let = "undecided against the served model, which gates.paired allows"
    assert verdict("undecided, -0.50 points", *blank) == f"Pushed as version 2: no gate refused; {none}; {let}."
    held = "Nothing changed: version 2 already holds this model"
    assert verdict("equivalent, +0.00 points", state="unchanged") == f"{held}."
    assert verdict("equivalent, +0.00 points", *blank, state="unchanged") == f"{held}; no gate refused; {none}."


@pytest.mark.parametrize(("verdict", "within"), [("equivalent", "within"), ("undecided", "not shown to be within")])
def test_of_one_model_that_is_served_and_best_the_same_is_not_said_twice(root: Path, verdict: str, within: str) -> None:
    found = facts_of(root, 1)
    [served] = found.comparisons
    best = served | {"with": "best", "margin": 0.01, "verdict": verdict, "words": "not to be told"}
    found = edited(found, comparisons=[served, best])
    text = Page(html.page(found)).text
    assert f"It is also the best version ever served; {within} the budget of 1 point." in text
    assert "not to be told" not in text + html.card(found)
    assert len(views.paired(found)) == 1
    assert "version 1, the best so far" in text
    other = edited(found, comparisons=[served, best | {"version": 7}])
    assert "Against the best version ever served: not to be told." in Page(html.page(other)).text
    assert len(views.paired(other)) == 2


def test_label_errors_are_those_that_evaluate_flagged(root: Path) -> None:
    found = facts_of(root, 1)
    sure, unsure = ({**found.gallery["mistakes"][0], "top": [[1, p], [2, 0.0], [3, 0.0]]} for p in (0.99, 0.4))
    flagged = edited(
        found, gallery={**found.gallery, "mistakes": [sure | {"suspect": False}, unsure | {"suspect": True}]}
    )
    assert [entry["top"][0][1] for entry in flagged.label_errors] == [0.4]
    text = Page(html.page(flagged)).text
    assert (
        text.index("Likely label errors")
        < text.index("40.0 %")
        < text.index("Other confident mistakes")
        < text.index("99.0 %")
    )
    assert "confident learning, Northcutt, Jiang and Chuang 2021" in text
    old = edited(found, gallery={**found.gallery, "mistakes": [sure, unsure]})
    assert [entry["top"][0][1] for entry in old.label_errors] == [0.99]
    assert "more than 95 % confident" in Page(html.page(old)).text.replace("\u00a0", " ")
