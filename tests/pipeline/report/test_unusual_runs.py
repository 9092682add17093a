"""Reports of unusual runs: hostile text, older stores, damaged files, models with NaN predictions, large images."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.lineage import Lineage, now
from pipeline.report import html
from pipeline.report.facts import Facts, SplitFacts
from pipeline.report.gather import gather
from pipeline.store import Store, facts
from schemas import files
from schemas.artifacts import Anomaly, Statistics
from tests.pipeline.finished_run import finish
from tests.pipeline.report_page import SECTIONS, Page, edited, facts_of

HOSTILE = "<script>alert(1)</script>\"'&|`$x_1$"


@pytest.fixture
def pushed(tmp_path: Path) -> Facts:
    root = Store(tmp_path / "root").root
    return facts_of(root, finish(root))


def test_hostile_text_is_escaped(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    names = tuple(f"{HOSTILE}{n}" for n in range(10))
    number = finish(
        root, refused=("accuracy", "per_class:label=8"), profile=HOSTILE, command=f"run {HOSTILE}", names=names
    )
    facts_ = facts_of(root, number)
    assert facts_.names == names
    hostile_gate = dataclasses.replace(facts_.gates[0], on=HOSTILE, reason=HOSTILE)
    candidate = facts_.metrics["candidate"]
    slices = {**candidate["slices"], f"source/dataset={HOSTILE}": candidate["overall"]}
    corruptions = {HOSTILE: candidate["overall"]}
    anomalies = [Anomaly("train", "image", "UNKNOWN_TYPE", HOSTILE)]
    metrics = {"candidate": {**candidate, "slices": slices, "corruptions": corruptions}}
    splits = {HOSTILE: SplitFacts({HOSTILE: 3}, 0, {HOSTILE: 1}, HOSTILE, {HOSTILE: 1})}
    facts_ = edited(
        facts_, gates=[hostile_gate], metrics=metrics, anomalies=anomalies, splits=splits, counts={HOSTILE: 3}
    )
    page = Page(html.page(facts_))
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count(HOSTILE) >= 100
    card = html.card(facts_)
    text = "\n".join(line for line in card.splitlines() if not line.startswith("    "))
    assert "<script>" not in text
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


def test_a_store_of_an_older_version_has_a_report(tmp_path: Path) -> None:
    """Metrics by class without intervals, gates as numbers, and no comparisons, gallery or calibration."""
    root = Store(tmp_path / "root").root
    number = finish(root)
    folder = next((root / "artifacts" / "evaluate").iterdir())
    row = {"count": 10, "accuracy": 0.9, "loss": 0.3}
    old = {"overall": row, "classes": {"0": row, "1": {**row, "loss": None}}, "confusion": [[9, 1], [0, 10]]}
    (folder / "metrics.json").write_text(json.dumps({"candidate": old, "baseline": old}), encoding="utf-8")
    drop = {"gate": "drop", "slice": "overall", "bound": 0.002, "came": 0.001, "passed": True, "words": ""}
    floor = {
        "gate": "per_class",
        "slice": "class 1",
        "bound": 0.95,
        "came": None,
        "passed": False,
        "words": "class 1 has no examples",
    }
    (folder / "gates.json").write_text(json.dumps([drop, floor]), encoding="utf-8")
    for name in ("comparisons.json", "gallery.json", "gallery.npy"):
        (folder / name).unlink()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"] = files.listing(folder)
    manifest["digest"] = files.digest(manifest["files"], manifest["facts"])
    (folder / "manifest.json").write_text(json.dumps(manifest | {"seal": files.seal(manifest)}), encoding="utf-8")
    lineage = Lineage.at(root, None)
    stages = [
        stage | ({"digest": manifest["digest"]} if stage["stage"] == "evaluate" else {})
        for stage in lineage.executions(number)
    ]
    facts_ = gather(Store(root), lineage.run(number) or {}, stages)
    lineage.engine.dispose()
    assert (facts_.missing, facts_.damaged) == ([], {})
    text = Page(html.page(facts_)).text
    assert "drop overall ≤ 0.0020 0.0010 +0.0010 passed" in text
    assert "per_class label=1 ≥ 0.9500 none refused" in text
    assert all(
        message in text
        for message in (
            "No images were stored.",
            "Calibration was not measured.",
            "Robustness under corruptions was not",
        )
    )
    assert "| class 1 | 10 | 0.9000 |" in html.card(facts_)


@pytest.mark.parametrize("name", ["metrics.json", "gates.json", "comparisons.json", "gallery.json", "gallery.npy"])
def test_an_unreadable_file_leaves_its_section_empty(name: str, tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    number = finish(root)
    (next((root / "artifacts" / "evaluate").iterdir()) / name).write_bytes(b"\x93NUMPY{")
    assert [attributes["id"] for attributes in Page(html.page(facts_of(root, number))).all("section")] == SECTIONS


def test_deleted_artifacts_are_named(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    number = finish(root)
    for stage in ("describe", "evaluate", "train"):
        (next((root / "artifacts" / stage).iterdir()) / "manifest.json").unlink()
    facts_ = facts_of(root, number)
    assert facts_.missing == ["describe", "train", "evaluate"]
    assert "Deleted from the store or replaced: describe, train, evaluate." in Page(html.page(facts_)).text


def test_a_model_with_nan_predictions_is_reported(pushed: Facts) -> None:
    candidate = pushed.metrics["candidate"]
    empty_row = {**candidate["overall"], **dict.fromkeys(("accuracy", "interval", "loss", "brier", "ece"))}
    mistake = dataclasses.replace(pushed.gallery["mistakes"][0], top=((0, None), (1, None), (2, None)))
    gallery = {**pushed.gallery, "mistakes": [mistake]}
    without_numbers = {
        **candidate,
        "overall": empty_row,
        "slices": dict.fromkeys(candidate["slices"], empty_row),
        "calibration": [],
    }
    facts_ = edited(pushed, metrics={"candidate": without_numbers}, gallery=gallery)
    text = Page(html.page(facts_)).text
    assert "overall 2,000 none" in text
    assert "0: not a number" in text
    assert facts_.label_errors == []


def test_label_counts_are_read_from_the_statistics_of_describe(sample_statistics: Statistics, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    with store.staging("describe", "k") as out:
        (out / "stats.tfrecord").write_bytes((sample_statistics.path / "stats.tfrecord").read_bytes())
        statistics = store.commit(Statistics(out, counts=sample_statistics.counts), "describe", "k", {}, now())
    execution = {
        "stage": "describe", "state": "ran", "why": "", "seconds": 1.0, "key": "k", "digest": statistics.digest,
        "path": "", "facts": facts(statistics),
    }  # fmt: skip
    splits = gather(store, {"run": 1, "state": "refused", "message": "", "config": {}}, [execution]).splits
    assert splits["test"].labels == {str(k): 100 for k in range(10)}
    assert {name: sum(split.labels.values()) for name, split in splits.items()} == sample_statistics.counts


def test_a_page_of_large_images_stays_small(pushed: Facts) -> None:
    count = max(e.image for entries in pushed.gallery.values() for e in entries) + 1
    images = np.random.default_rng(1).integers(0, 256, (count, 128, 96, 3), np.uint8)
    assert len(html.page(edited(pushed, images=images)).encode()) < 3_000_000
