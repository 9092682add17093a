"""Reports of moved stores, and of deleted, replaced or damaged artifacts: their statements stay correct."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from pipeline.report import html, index
from pipeline.store import Store
from schemas.errors import ConfigurationError
from tests.pipeline.command_line import gateline
from tests.pipeline.finished_run import finish
from tests.pipeline.predictions import Predictions
from tests.pipeline.report.test_compare import NEW, OLD, comparison_of, evaluated_run
from tests.pipeline.report.test_index import gather_index
from tests.pipeline.report_page import Page, facts_of

FEW = Predictions.random(n=200)
NOT_REACHED = "The run did not reach"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with one pushed run."""
    root = Store(tmp_path / "root").root
    finish(root, FEW)
    return root


def artifact_folder(root: Path, stage: str) -> Path:
    [folder] = (root / "artifacts" / stage).iterdir()
    return folder


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
