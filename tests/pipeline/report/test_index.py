"""The page over all runs: what is served since when, which gates refused, and that hundreds of runs stay legible."""

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
    serve(root, 2, "f" * 64)
    return root


def serve(root: Path, number: int, digest: str, **more: object) -> None:
    version = root / "serving/mnist" / str(number)
    version.mkdir(parents=True, exist_ok=True)
    (version / "provenance.json").write_text(
        json.dumps({"model": digest, "accuracy": 0.985, "run": 1, **more}), encoding="utf-8"
    )


def gathered(root: Path) -> index.Index:
    lineage = Lineage.at(root, None)
    try:
        return index.gather(Store(root), lineage, root / "serving")
    finally:
        lineage.engine.dispose()


def row(run: int, **columns: object) -> index.Row:
    known = {
        "profile": "p",
        "model": "m",
        "state": "pushed",
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1.0,
        "version": run,
    }
    return index.Row(**{"run": run, "accuracy": 0.98, "gates": {}, "why": "", "report": None, **known, **columns})


def test_what_is_served_was_pushed_by_the_run_that_the_lineage_knows(root: Path) -> None:
    found = gathered(root)
    (served,) = found.served
    assert (served.model, served.version, served.run, served.accuracy) == ("mnist", 2, 1, 0.985)
    lineage = Lineage.at(root, None)
    assert served.since == lineage.run(1)["finished"]
    lineage.engine.dispose()
    assert found.headline.startswith("mnist serves version 2, since 20")


def test_a_model_that_the_configuration_does_not_name_is_called_after_its_data(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    finished_run.finish(root, FEW, profile="own.yaml", model=None)
    serve(root, 2, "f" * 64)
    found = gathered(root)
    assert [row.model for row in found.rows] == ["mnist"]
    assert found.served[0].run == 1


@pytest.mark.parametrize(("number", "digest"), [(2, "another"), (3, "f" * 64)])
def test_a_version_that_another_store_pushed_has_no_date(root: Path, number: int, digest: str) -> None:
    serve(root, number, digest)
    (served,) = gathered(root).served
    assert (served.version, served.run, served.since) == (number, None, None)
    assert gathered(root).headline == f"mnist serves version {number}."


def test_after_a_rollback_its_date_and_the_run_that_made_the_model_are_known(root: Path) -> None:
    serve(root, 3, "f" * 64, origin=2, published="2026-03-01T12:00:00+00:00")
    (served,) = gathered(root).served
    assert (served.version, served.run, served.since) == (3, 1, "2026-03-01T12:00:00+00:00")
    assert gathered(root).headline == "mnist serves version 3, since 2026-03-01."


def test_foreign_content_in_the_serving_directory_is_named_and_the_page_is_written(root: Path) -> None:
    (root / "serving/mnist/2/provenance.json").unlink()
    found = gathered(root)
    assert found.headline == "Nothing is served yet."
    page = index.write(found, root / "reports")["html"].read_text(encoding="utf-8")
    assert "it was not pushed by gateline" in found.served[0].trouble
    assert found.served[0].trouble in page


def test_gates_are_those_of_the_evaluation_and_a_refusal_of_one_slice_is_the_gates(root: Path) -> None:
    refused, pushed = gathered(root).rows
    assert (refused.run, refused.state, pushed.run, pushed.state) == (2, "refused", 1, "pushed")
    assert refused.refused == ["accuracy", "paired"]
    assert pushed.gates["accuracy"] == "passed"
    assert pushed.gates["per_class"] == "too few examples"  # of twenty images each
    assert refused.why.startswith("Accuracy ")
    assert "requires" in refused.why
    assert pushed.why.startswith("Not distinguishable from version 1 on these 200 images")
    assert pushed.why.endswith(".")


def test_accuracy_outlives_the_artifact_and_gates_do_not(root: Path) -> None:
    before = gathered(root).rows[0]
    shutil.rmtree(root / "artifacts/evaluate")
    after = gathered(root).rows[0]
    assert after.accuracy == before.accuracy is not None
    assert (len(before.gates) > 2, after.gates) == (True, {"data": "passed"})


def test_the_gates_of_data_and_of_serving_stand_at_the_ends(root: Path) -> None:
    lineage = Lineage.at(root, None)
    run = lineage.start(profile="p", command="", config={})
    for stage, passed in (("validate", True), ("check_serving", False)):
        lineage.executed(run, stage, state="ran", why="", seconds=1.0, key="k", digest="d", facts={"passed": passed})
    lineage.finish(
        run, state="refused", exit_code=3, message="refused: loads in 21.00 s; 20.00 s are allowed\n  Make it smaller."
    )
    lineage.engine.dispose()
    found = gathered(root).rows[0]
    assert list(found.gates.items()) == [("data", "passed"), ("serving", "refused")]
    assert found.why == "Loads in 21.00 s; 20.00 s are allowed."


def test_runs_link_to_their_reports_where_there_are_any(root: Path) -> None:
    (root / "reports/run-1.html").write_text("", encoding="utf-8")
    assert [found.report for found in gathered(root).rows] == [None, "run-1.html"]
    page = index.write(gathered(root), root / "reports")["html"].read_text(encoding="utf-8")
    assert '<a href="run-1.html">1</a>' in page
    assert "run-2.html" not in page


def test_the_json_beside_the_page_says_the_same(root: Path) -> None:
    found = gathered(root)
    written = index.write(found, root / "reports")
    assert {path.name for path in written.values()} == {"index.html", "index.json"}
    assert json.loads(written["json"].read_text(encoding="utf-8")) == found.as_json()
    assert [each["accuracy"] for each in found.as_json()["rows"]] == [each.accuracy for each in found.rows]


def test_a_store_without_runs_has_a_page(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    page = index.write(gathered(root), root / "reports")["html"].read_text(encoding="utf-8")
    assert all(words in page for words in ("Nothing is served yet.", "No runs yet.", "No run has been evaluated yet."))


def test_hundreds_of_runs_are_folded_and_none_is_lost(tmp_path: Path) -> None:
    rows = [row(n, accuracy=0.98 + 0.0001 * (n % 7), gates={"accuracy": "passed"}) for n in range(600, 0, -1)]
    page = index.write(index.Index([], rows, "2026-01-01T00:00:00+00:00"), tmp_path)["html"].read_text(encoding="utf-8")
    shown, folded = page.split("<details>")
    assert [text.count('<tr id="run-') for text in (shown, folded)] == [index.NEWEST, 600 - index.NEWEST]
    assert len(page) < 1_000_000


def test_models_are_plotted_apart(tmp_path: Path) -> None:
    rows = [row(3, model="b"), row(2, model="a"), row(1, model="c", accuracy=None)]
    page = index.write(index.Index([], rows, "2026-01-01T00:00:00+00:00"), tmp_path)["html"].read_text(encoding="utf-8")
    assert page.count("<svg") == 2


def test_the_plot_has_the_pages_colours_and_names_the_versions() -> None:
    drawn = history.plot([row(1), row(2, state="refused", gates={"per_class": "refused"}), row(3, accuracy=0.99)])
    assert "#0102" not in drawn
    assert "var(--accent)" in drawn and "var(--bad)" in drawn
    assert all(f">{text}</text>" in drawn for text in ("v1", "v3", "per class", "run", "accuracy"))


def test_one_failed_model_does_not_press_the_others_into_a_line() -> None:
    usual = [row(n, accuracy=0.98 + 0.001 * (n % 5)) for n in range(1, 30)]
    ticks = history.plot([*usual, row(30, accuracy=0.1, state="refused")])
    assert ">0.980</text>" in ticks or ">0.98</text>" in ticks
    assert ">0.2</text>" not in ticks


def test_streaks_end_where_the_verdict_or_the_numbers_do() -> None:
    verdicts = {1: "passed", 2: "passed", 3: "refused", 4: "passed", 6: "passed", 7: "passed"}
    rows = [row(n, gates={"accuracy": verdict}) for n, verdict in verdicts.items()]
    assert list(history._streaks(rows, "accuracy", "passed")) == [(1, 2), (4, 1), (6, 2)]
    assert list(history._streaks(rows, "accuracy", "refused")) == [(3, 1)]
    assert list(history._streaks(rows, "drop", "passed")) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0.66, "0.7 s"), (59.94, "59.9 s"), (63.2, "1 min 3 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations_are_for_people(seconds: float | None, words: str) -> None:
    assert index.lasted(seconds) == words


def test_the_command_writes_the_page_and_says_what_is_served(root: Path) -> None:
    done = gateline("report", "--index", "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mnist serves version 2, since ")
    found = json.loads(
        gateline("report", "--index", "--json", "--root", root, "--serving-dir", root / "nowhere").stdout
    )
    assert (found["headline"], len(found["rows"])) == ("Nothing is served yet.", 2)
    assert Path(found["html"]).name == "index.html"


def test_the_page_over_all_runs_takes_no_number(root: Path) -> None:
    done = gateline("report", 1, "--index", "--root", root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("configuration: --index covers all runs\n")
