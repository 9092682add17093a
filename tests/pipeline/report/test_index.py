"""The index of all runs: served versions with dates, refusing gates, and hundreds of runs on one page."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from pipeline.report import history, index
from pipeline.store import Store
from tests.pipeline import finished_run
from tests.pipeline.command_line import gateline
from tests.pipeline.predictions import Predictions

FEW = Predictions.random(n=200)
WEAK = Predictions.random(n=200, accuracy=0.9, seed=2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store of two runs: the first pushed version 2, the second was refused."""
    root = Store(tmp_path / "root").root
    finished_run.finish(root, FEW)
    finished_run.finish(root, WEAK, refused=("accuracy", "paired"))
    write_version(root, 2, "f" * 64)
    return root


def write_version(root: Path, number: int, digest: str, **facts: object) -> None:
    version = root / "serving/mnist" / str(number)
    version.mkdir(parents=True, exist_ok=True)
    (version / "provenance.json").write_text(
        json.dumps({"model": digest, "accuracy": 0.985, "run": 1, **facts}), encoding="utf-8"
    )


def gather_index(root: Path) -> index.Index:
    lineage = Lineage.at(root, None)
    try:
        return index.gather(Store(root), lineage, root / "serving")
    finally:
        lineage.engine.dispose()


def row(run: int, **columns: object) -> index.Row:
    defaults = {
        "profile": "p",
        "model": "m",
        "state": "pushed",
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1.0,
        "version": run,
    }
    return index.Row(**{"run": run, "accuracy": 0.98, "gates": {}, "why": "", "report": None, **defaults, **columns})


def test_a_served_version_has_the_run_and_date_of_its_push(root: Path) -> None:
    index_ = gather_index(root)
    (served,) = index_.served
    assert (served.model, served.version, served.run, served.accuracy) == ("mnist", 2, 1, 0.985)
    lineage = Lineage.at(root, None)
    assert served.since == lineage.run(1)["finished"]
    lineage.engine.dispose()
    assert index_.headline.startswith("mnist serves version 2, since 20")


def test_an_unnamed_model_has_the_name_of_its_dataset(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    finished_run.finish(root, FEW, profile="own.yaml", model=None)
    write_version(root, 2, "f" * 64)
    index_ = gather_index(root)
    assert [row.model for row in index_.rows] == ["mnist"]
    assert index_.served[0].run == 1


@pytest.mark.parametrize(("number", "digest"), [(2, "another"), (3, "f" * 64)])
def test_a_version_pushed_by_another_store_has_no_date(root: Path, number: int, digest: str) -> None:
    write_version(root, number, digest)
    (served,) = gather_index(root).served
    assert (served.version, served.run, served.since) == (number, None, None)
    assert gather_index(root).headline == f"mnist serves version {number}."


def test_a_rolled_back_version_has_its_date_and_original_run(root: Path) -> None:
    write_version(root, 3, "f" * 64, origin=2, published="2026-03-01T12:00:00+00:00")
    (served,) = gather_index(root).served
    assert (served.version, served.run, served.since) == (3, 1, "2026-03-01T12:00:00+00:00")
    assert gather_index(root).headline == "mnist serves version 3, since 2026-03-01."


def test_foreign_content_in_the_serving_directory_is_reported_on_the_page(root: Path) -> None:
    (root / "serving/mnist/2/provenance.json").unlink()
    index_ = gather_index(root)
    assert index_.headline == "Nothing is served yet."
    page = index.write(index_, root / "reports")["html"].read_text(encoding="utf-8")
    assert "it was not pushed by gateline" in index_.served[0].trouble
    assert index_.served[0].trouble in page


def test_a_gate_with_a_refused_slice_is_listed_as_refused(root: Path) -> None:
    refused, pushed = gather_index(root).rows
    assert (refused.run, refused.state, pushed.run, pushed.state) == (2, "refused", 1, "pushed")
    assert refused.refused == ["accuracy", "paired"]
    assert pushed.gates["accuracy"] == "passed"
    assert pushed.gates["per_class"] == "too few examples"  # twenty images per class
    assert refused.why.startswith("Accuracy ")
    assert "requires" in refused.why
    assert pushed.why.startswith("Not distinguishable from version 1 on these 200 images")
    assert pushed.why.endswith(".")


def test_a_run_without_its_evaluation_keeps_its_accuracy_but_not_its_gates(root: Path) -> None:
    before = gather_index(root).rows[0]
    shutil.rmtree(root / "artifacts/evaluate")
    after = gather_index(root).rows[0]
    assert after.accuracy == before.accuracy is not None
    assert (len(before.gates) > 2, after.gates) == (True, {"data": "passed"})


def test_data_and_serving_gates_are_listed_first_and_last(root: Path) -> None:
    lineage = Lineage.at(root, None)
    run = lineage.start(profile="p", command="", config={})
    for stage, passed in (("validate", True), ("check_serving", False)):
        lineage.executed(run, stage, state="ran", why="", seconds=1.0, key="k", digest="d", facts={"passed": passed})
    lineage.finish(
        run, state="refused", exit_code=3, message="refused: loads in 21.00 s; 20.00 s are allowed\n  Make it smaller."
    )
    lineage.engine.dispose()
    row_ = gather_index(root).rows[0]
    assert list(row_.gates.items()) == [("data", "passed"), ("serving", "refused")]
    assert row_.why == "Loads in 21.00 s; 20.00 s are allowed."


def test_runs_link_to_existing_reports(root: Path) -> None:
    (root / "reports/run-1.html").write_text("", encoding="utf-8")
    assert [row_.report for row_ in gather_index(root).rows] == [None, "run-1.html"]
    page = index.write(gather_index(root), root / "reports")["html"].read_text(encoding="utf-8")
    assert '<a href="run-1.html">1</a>' in page
    assert "run-2.html" not in page


def test_the_json_file_has_the_content_of_the_page(root: Path) -> None:
    index_ = gather_index(root)
    paths = index.write(index_, root / "reports")
    assert {path.name for path in paths.values()} == {"index.html", "index.json"}
    assert json.loads(paths["json"].read_text(encoding="utf-8")) == index_.as_json()
    assert [row_["accuracy"] for row_ in index_.as_json()["rows"]] == [row_.accuracy for row_ in index_.rows]


def test_an_empty_store_has_an_index(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    page = index.write(gather_index(root), root / "reports")["html"].read_text(encoding="utf-8")
    assert all(
        message in page for message in ("Nothing is served yet.", "No runs yet.", "No run has been evaluated yet.")
    )


def test_hundreds_of_runs_are_collapsed_but_complete(tmp_path: Path) -> None:
    rows = [row(n, accuracy=0.98 + 0.0001 * (n % 7), gates={"accuracy": "passed"}) for n in range(600, 0, -1)]
    page = index.write(index.Index([], rows, "2026-01-01T00:00:00+00:00"), tmp_path)["html"].read_text(encoding="utf-8")
    visible, collapsed = page.split("<details>")
    assert [text.count('<tr id="run-') for text in (visible, collapsed)] == [index.NEWEST, 600 - index.NEWEST]
    assert len(page) < 1_000_000


def test_each_model_has_its_own_plot(tmp_path: Path) -> None:
    rows = [row(3, model="b"), row(2, model="a"), row(1, model="c", accuracy=None)]
    page = index.write(index.Index([], rows, "2026-01-01T00:00:00+00:00"), tmp_path)["html"].read_text(encoding="utf-8")
    assert page.count("<svg") == 2


def test_the_plot_uses_page_colours_and_labels_versions() -> None:
    svg = history.plot([row(1), row(2, state="refused", gates={"per_class": "refused"}), row(3, accuracy=0.99)])
    assert "#0102" not in svg
    assert "var(--accent)" in svg and "var(--bad)" in svg
    assert all(f">{text}</text>" in svg for text in ("v1", "v3", "per class", "run", "accuracy"))


def test_an_outlier_does_not_compress_the_plot() -> None:
    good_rows = [row(n, accuracy=0.98 + 0.001 * (n % 5)) for n in range(1, 30)]
    ticks = history.plot([*good_rows, row(30, accuracy=0.1, state="refused")])
    assert ">0.980</text>" in ticks or ">0.98</text>" in ticks
    assert ">0.2</text>" not in ticks


def test_streaks_end_at_another_verdict_or_a_missing_run() -> None:
    verdicts = {1: "passed", 2: "passed", 3: "refused", 4: "passed", 6: "passed", 7: "passed"}
    rows = [row(n, gates={"accuracy": verdict}) for n, verdict in verdicts.items()]
    assert list(history._streaks(rows, "accuracy", "passed")) == [(1, 2), (4, 1), (6, 2)]
    assert list(history._streaks(rows, "accuracy", "refused")) == [(3, 1)]
    assert list(history._streaks(rows, "drop", "passed")) == []


@pytest.mark.parametrize(
    ("seconds", "message"),
    [(None, ""), (0.66, "0.7 s"), (59.94, "59.9 s"), (63.2, "1 min 3 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations_are_readable(seconds: float | None, message: str) -> None:
    assert index.duration_text(seconds) == message


def test_the_command_writes_the_index_and_prints_the_headline(root: Path) -> None:
    done = gateline("report", "--index", "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mnist serves version 2, since ")
    output = json.loads(
        gateline("report", "--index", "--json", "--root", root, "--serving-dir", root / "nowhere").stdout
    )
    assert (output["headline"], len(output["rows"])) == ("Nothing is served yet.", 2)
    assert Path(output["html"]).name == "index.html"


def test_the_index_with_a_run_number_is_refused(root: Path) -> None:
    done = gateline("report", 1, "--index", "--root", root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("configuration: --index covers all runs\n")
