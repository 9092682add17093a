"""Reports of odd runs: hostile words, older stores, damaged files, models that answer nothing, large images."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.lineage import Lineage, now
from pipeline.report import html
from pipeline.report.facts import Facts, gather
from pipeline.store import Store, facts
from schemas import files
from schemas.artifacts import Statistics
from tests.pipeline.finished_run import finish
from tests.pipeline.report_page import SECTIONS, Page, edited, facts_of

HOSTILE = "<script>alert(1)</script>\"'&|`$x_1$"


@pytest.fixture
def pushed(tmp_path: Path) -> Facts:
    root = Store(tmp_path / "root").root
    return facts_of(root, finish(root))


def test_strings_of_others_are_shown_as_text(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    names = tuple(f"{HOSTILE}{n}" for n in range(10))
    number = finish(
        root, refused=("accuracy", "per_class:label=8"), profile=HOSTILE, command=f"run {HOSTILE}", names=names
    )
    found = facts_of(root, number)
    assert found.names == names
    hostile = dataclasses.replace(found.gates[0], on=HOSTILE, reason=HOSTILE)
    candidate = found.metrics["candidate"]
    slices = {**candidate["slices"], f"source/dataset={HOSTILE}": candidate["overall"]}
    corruptions = {HOSTILE: candidate["overall"]}
    anomalies = [{"severity": "error", "words": HOSTILE}]
    metrics = {"candidate": {**candidate, "slices": slices, "corruptions": corruptions}}
    row = {"labels": {HOSTILE: 3}, "copies": 0, "leaked": {HOSTILE: 1}, "size": HOSTILE, "formats": {HOSTILE: 1}}
    splits = {HOSTILE: row}
    found = edited(found, gates=[hostile], metrics=metrics, anomalies=anomalies, splits=splits, counts={HOSTILE: 3})
    page = Page(html.page(found))
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count(HOSTILE) >= 100
    card = html.card(found)
    prose = "\n".join(line for line in card.splitlines() if not line.startswith("    "))
    assert "<script>" not in prose
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


def test_an_older_store_still_gives_a_report(tmp_path: Path) -> None:
    """Metrics by class without intervals, gates in numbers, and no comparisons, gallery or calibration."""
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
        s | ({"digest": manifest["digest"]} if s["stage"] == "evaluate" else {}) for s in lineage.executions(number)
    ]
    found = gather(Store(root), lineage.run(number) or {}, stages)
    lineage.engine.dispose()
    assert (found.missing, found.damaged) == ([], {})
    text = Page(html.page(found)).text
    assert "drop overall ≤ 0.0020 0.0010 +0.0010 passed" in text
    assert "per_class label=1 ≥ 0.9500 none refused" in text
    assert all(
        words in text
        for words in ("No images were stored.", "Calibration was not measured.", "Robustness under corruptions was not")
    )
    assert "| class 1 | 10 | 0.9000 |" in html.card(found)


@pytest.mark.parametrize("name", ["metrics.json", "gates.json", "comparisons.json", "gallery.json", "gallery.npy"])
def test_what_cannot_be_read_leaves_its_part_empty(name: str, tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    number = finish(root)
    (next((root / "artifacts" / "evaluate").iterdir()) / name).write_bytes(b"\x93NUMPY{")
    assert [attributes["id"] for attributes in Page(html.page(facts_of(root, number))).all("section")] == SECTIONS


def test_artifacts_that_are_gone_are_named(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    number = finish(root)
    for stage in ("describe", "evaluate", "train"):
        (next((root / "artifacts" / stage).iterdir()) / "manifest.json").unlink()
    found = facts_of(root, number)
    assert found.missing == ["describe", "train", "evaluate"]
    assert "Deleted from the store or replaced: describe, train, evaluate." in Page(html.page(found)).text


def test_a_model_whose_answers_are_not_numbers_is_reported(pushed: Facts) -> None:
    candidate = pushed.metrics["candidate"]
    blank = {**candidate["overall"], **dict.fromkeys(("accuracy", "interval", "loss", "brier", "ece"))}
    top = [[0, None], [1, None], [2, None]]
    gallery = {**pushed.gallery, "mistakes": [{**pushed.gallery["mistakes"][0], "top": top}]}
    broken = {**candidate, "overall": blank, "slices": dict.fromkeys(candidate["slices"], blank), "calibration": []}
    found = edited(pushed, metrics={"candidate": broken}, gallery=gallery)
    text = Page(html.page(found)).text
    assert "overall 2,000 none" in text
    assert "0: not a number" in text
    assert found.label_errors == []


def test_labels_are_read_as_describe_writes_them(sample_statistics: Statistics, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    with store.staging("describe", "k") as out:
        (out / "stats.tfrecord").write_bytes((sample_statistics.path / "stats.tfrecord").read_bytes())
        made = store.commit(Statistics(out, counts=sample_statistics.counts), "describe", "k", {}, now())
    execution = {
        "stage": "describe", "state": "ran", "why": "", "seconds": 1.0, "key": "k", "digest": made.digest,
        "path": "", "facts": facts(made),
    }  # fmt: skip
    splits = gather(store, {"run": 1, "state": "refused", "message": "", "config": {}}, [execution]).splits
    assert splits["test"]["labels"] == {str(k): 100 for k in range(10)}
    assert {name: sum(split["labels"].values()) for name, split in splits.items()} == sample_statistics.counts


def test_a_page_of_large_images_stays_small(pushed: Facts) -> None:
    count = max(e["image"] for entries in pushed.gallery.values() for e in entries) + 1
    images = np.random.default_rng(1).integers(0, 256, (count, 128, 96, 3), np.uint8)
    assert len(html.page(edited(pushed, images=images)).encode()) < 3_000_000
