"""Artifacts: directories with the few facts that other stages need."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.store import facts, from_facts
from schemas import artifacts
from schemas.artifacts import (
    Admission,
    Anomaly,
    Approval,
    Artifact,
    Comparison,
    DamagedFile,
    Evaluation,
    Examples,
    GalleryEntry,
    Gate,
    GateResult,
    Measure,
    Model,
    NearCopy,
    PairedTest,
    Search,
    ServingCheck,
    SpanDecision,
    Split,
    Statistics,
    Verdict,
)
from schemas.errors import DataError, Refused

SPLITS = {"train": Split(("a", "b", "c"), (3, 0, 4)), "test": Split(("d",), (5,))}
KINDS = [kind for kind in vars(artifacts).values() if isinstance(kind, type) and issubclass(kind, Artifact)]


def test_a_split_counts_the_records_of_its_shards() -> None:
    assert SPLITS["train"].count == 7
    assert Split((), ()).count == 0


def test_shards_without_records_are_not_read() -> None:
    examples = Examples(Path("/here"), splits=SPLITS, source="mnist")
    train = [("train", Path("/here/a"), 3), ("train", Path("/here/c"), 4)]
    assert list(examples.shards("train")) == train
    assert list(examples.shards()) == [*train, ("test", Path("/here/d"), 5)]


def test_a_split_with_a_different_number_of_counts_and_shards_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        list(Examples(Path(), splits={"train": Split(("a", "b"), (3,))}, source="mnist").shards())


def test_refusals_of_data_and_models_have_different_errors() -> None:
    assert (Gate.refusal, Verdict.refusal) == (Refused, DataError)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_artifact_is_documented_and_frozen(kind: type[Artifact]) -> None:
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")  # the default docstring of a dataclass
    assert kind.__dataclass_params__.frozen
    assert "path" in {field.name for field in dataclasses.fields(kind)}


def test_the_directory_of_an_approval_keeps_its_stored_key(tmp_path: Path) -> None:
    """Lineages and provenance of version 0.1 have it."""
    approval = Approval(
        tmp_path, passed=True, model="m", evaluation="e", evaluated="2026", baseline=None, directory="/srv/mnist"
    )
    stored = facts(approval)
    assert stored["shelf"] == "/srv/mnist"
    assert "directory" not in stored
    assert from_facts(Approval, tmp_path, stored) == approval


def test_artifacts_read_what_they_wrote(tmp_path: Path) -> None:
    measures = {"pixels": Measure(0.3, 0.02, "pixel values differ by 0.3 bits", over=True)}
    decisions = [SpanDecision("span-0001", "2026-11-28", 9, warnings=["far"], drift="far", measures=measures)]
    Admission.write_decisions(tmp_path, decisions)
    assert Admission(tmp_path, passed=True, admitted=(), quarantined={}, drifted={}).decisions() == decisions
    ServingCheck.write_measurements(tmp_path, {"load_seconds": 0.5})
    assert ServingCheck(tmp_path, passed=True).measurements() == {"load_seconds": 0.5}
    Search.write_rows(tmp_path, [{"trial": "0", "score": None}, {"trial": "1", "score": 0.9}])
    assert [row["trial"] for row in Search(tmp_path, trials=2, best="1", accuracy=0.9).rows()] == ["1", "0"]
    Model.write_history(tmp_path, [{"loss": 0.1}])
    assert Model(tmp_path, epochs=1, validation_accuracy=0.9).history() == [{"loss": 0.1}]
    assert {path.name for path in tmp_path.iterdir()} == {"spans.json", "serving.json", "trials.json", "history.json"}


def evaluation(path: Path) -> Evaluation:
    return Evaluation(path, passed=True, accuracy=0.9, loss=0.1, saved_model="m")


def test_an_evaluation_reads_what_it_wrote(tmp_path: Path) -> None:
    test = PairedTest("worse", -0.1, (-0.2, -0.01), 0.01, 80, 2, 12, 6, None, margin=0.004, alpha=0.05)
    comparisons = (
        Comparison("baseline", 3, test.message("version 3"), -0.1, test, same_test=False),
        Comparison("best", 1, "accuracy 0.8 against 0.9, recorded for version 1", -0.1),
    )
    gates = (GateResult("drop", "overall", "≤ 0.0100", "0.1000", False, "too low", 0.01, 0.1, upper=True),)
    Evaluation.write_results(tmp_path, gates, {}, comparisons)
    entry = GalleryEntry(0, 17, 4, 9, ((9, 0.8), (4, None)), baseline=None, suspect=True)
    Evaluation.write_gallery(tmp_path, {"mistakes": [entry]}, np.zeros((1, 28, 28, 1), np.uint8))
    assert evaluation(tmp_path).comparisons() == comparisons
    assert evaluation(tmp_path).gates() == gates
    assert evaluation(tmp_path).gallery() == {"mistakes": [entry]}
    assert evaluation(tmp_path).gallery_images().shape == (1, 28, 28, 1)


def test_data_artifacts_read_what_they_wrote(tmp_path: Path) -> None:
    anomalies = [Anomaly("train", "label", "COMPARATOR_L_INFTY_HIGH", "the share of 4 differs", "warning")]
    Verdict.write_anomalies(tmp_path, anomalies)
    assert Verdict(tmp_path, passed=True).anomalies() == anomalies
    pairs = [(NearCopy("test", 4, 1, 300, 400), NearCopy("train", 7, 1, 150, 200))]
    Statistics.write_near_pictures(tmp_path, pairs, np.zeros((2, 8, 8, 3), np.uint8))
    assert Statistics(tmp_path, counts={}).near_pictured() == pairs


def test_rows_of_version_0_1_are_read(tmp_path: Path) -> None:
    """They lack `same_test`, `suspect` and the direction of a bound; a comparison by record has null for the test."""
    paired = {
        "with": "baseline", "version": 3, "by": "paired", "words": "level", "verdict": "equivalent", "difference": 0.0,
        "interval": [-0.002, 0.002], "p": 1.0, "both": 97, "only_candidate": 1, "only_other": 1, "neither": 1,
        "more_examples": None, "margin": 0.004, "alpha": 0.05,
    }  # fmt: skip
    recorded = dict.fromkeys(paired) | {
        "with": "best",
        "version": 1,
        "by": "recorded",
        "words": "w",
        "difference": -0.1,
    }
    gate = {"gate": "ece", "slice": "overall", "required": "≤ 0.0500", "came": "0.0600", "passed": False}
    gate |= {"words": "too high", "bound": 0.05, "value": 0.06, "verdict": "refused", "margin": "-0.0100"}
    entry = {"image": 0, "index": 5, "label": 1, "predicted": 2, "top": [[2, 0.96], [1, 0.04]], "baseline": 1}
    contents = {"comparisons": [paired, recorded], "gates": [gate], "gallery": {"mistakes": [entry]}}
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    one, other = evaluation(tmp_path).comparisons()
    assert one.test and (one.model, one.same_test, one.test.interval) == ("baseline", True, (-0.002, 0.002))
    assert (other.model, other.test, other.difference, other.same_test) == ("best", None, -0.1, True)
    [result] = evaluation(tmp_path).gates()
    assert (result.upper, result.distance) == (True, pytest.approx(-0.01))
    [mistake] = evaluation(tmp_path).gallery()["mistakes"]
    assert (mistake.suspect, mistake.is_likely_label_error) == (None, True)
    assert mistake.as_row() == entry


@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("comparisons.json", lambda path: evaluation(path).comparisons()),
        ("gates.json", lambda path: evaluation(path).gates()),
        ("anomalies.json", lambda path: Verdict(path, passed=True).anomalies()),
        ("near-pictured.json", lambda path: Statistics(path, counts={}).near_pictured()),
        ("spans.json", lambda path: Admission(path, passed=True, admitted=(), quarantined={}, drifted={}).decisions()),
    ],
)
@pytest.mark.parametrize("row", [{}, 3, [1, 2], None])
def test_a_row_without_its_values_is_a_damaged_file(
    file: str, read: Callable[[Path], Any], row: Any, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(DamagedFile, match=file):
        read(tmp_path)


@pytest.mark.parametrize("rows", [[{}], 3, [None]])
def test_a_gallery_without_its_values_is_a_damaged_file(rows: Any, tmp_path: Path) -> None:
    (tmp_path / "gallery.json").write_text(json.dumps({"mistakes": rows}), encoding="utf-8")
    with pytest.raises(DamagedFile, match=r"gallery\.json"):
        evaluation(tmp_path).gallery()
