"""The report of a model with 1,000 classes of photos: small, and the worst first."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components._evaluation import paired
from pipeline.report import accuracy, gates, html, shortened, summary
from pipeline.report.facts import Facts
from pipeline.store import Store
from schemas.artifacts import GateResult, refusals
from schemas.confusion import Confusion
from schemas.gates import Measured, Planned
from schemas.gates.per_class import PerClass
from tests.pipeline.finished_run import finish
from tests.pipeline.report_page import Page, edited, facts_of

CLASSES, IMAGES, FLOOR = 1000, 40, 0.5
LIMIT = 3_000_000  # bytes of a page
NAMES = tuple(f"lesser spotted bird of paradise {label}" for label in range(CLASSES))
Json = dict[str, Any]


def row(right: int, count: int) -> Json:
    accuracy = {"accuracy": right / count, "interval": list(paired.interval(right, count))}
    return {"count": count, **accuracy, "loss": 0.5, "brier": 0.2, "ece": 0.02}


def metrics(right: np.ndarray) -> Json:
    """Every wrong prediction is the next class or the one after."""
    cells = [(label, (label + other) % CLASSES, n) for label, k in enumerate(right.tolist()) for other, n in (
        (0, k), (1, (IMAGES - k) // 2), (2, IMAGES - k - (IMAGES - k) // 2))]  # fmt: skip
    return {
        "overall": row(int(right.sum()), CLASSES * IMAGES),
        "slices": {f"label={label}": row(int(n), IMAGES) for label, n in enumerate(right)},
        "corruptions": {},
        "fresh": None,
        "with_leaked": None,
        "confusion": Confusion.of_cells(CLASSES, cells).as_json(),
        "calibration": [],
    }


def gate_results(candidate: Json) -> list[GateResult]:
    planned = Planned(range(CLASSES), CLASSES * IMAGES, values={"label": CLASSES})
    return list(PerClass(FLOOR).evaluate(Measured(planned, {"candidate": candidate}, [], NAMES)))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """Two models on 1,000 classes. The photos are noise, which no format makes small."""
    root = Store(tmp_path_factory.mktemp("store") / "root").root
    facts = facts_of(root, finish(root, near_copies=0))
    rng = np.random.default_rng(1)
    by_model = {name: metrics(rng.binomial(IMAGES, rng.beta(4, 2, CLASSES))) for name in ("candidate", "baseline")}
    split = facts.splits["train"]
    photos = {"": split.photos[""]} | {str(label): split.photos[str(label % 10)] for label in range(CLASSES)}
    labels = {str(label): 10 + label % 7 for label in range(CLASSES)}
    entry = facts.gallery["mistakes"][0]
    gallery = {
        name: [dataclasses.replace(entry, image=i) for i in range(32)] for name in ("mistakes", "lost", "gained")
    }
    samples = [dataclasses.replace(entry, image=32 + label, label=label) for label in range(CLASSES)]
    return edited(
        facts,
        metrics=by_model,
        gates=gate_results(by_model["candidate"]),
        names=NAMES,
        splits=dict.fromkeys(("train", "validation", "test"), dataclasses.replace(split, labels=labels, photos=photos)),
        gallery=gallery | {"samples": samples},
        images=rng.integers(0, 256, (32 + CLASSES, 64, 64, 3), np.uint8),
    )


@pytest.fixture(scope="module")
def source(many: Facts) -> str:
    return html.page(many)


def test_the_page_is_below_its_limit(source: str) -> None:
    assert len(source.encode()) < LIMIT
    assert len(re.findall(r"data:image/jpeg;base64", source)) == 3 * 32 + CLASSES


def test_gates_of_one_kind_are_one_sentence(many: Facts, source: str) -> None:
    refused = [gate for gate in many.gates if not gate.passed]
    assert len(refused) > 10
    (sentence,) = refusals(many.gates)
    start = f"gates.per_class refuses {len(refused)} of 1,000 classes that are below 0.5 at 95% confidence for 1,000 "
    worst = min(many.gates, key=lambda gate: gate.value or 0)
    assert sentence.startswith(f"{start}slices together; the worst 10: {worst.on} {worst.measured.partition(',')[0]}, ")
    assert sentence.count("lesser spotted bird") == 10
    assert html.sentence(sentence).replace("\u00a0", " ") in Page(source).text.replace("\u00a0", " ")
    visible, collapsed = gates.shown(many.gates)
    assert (len(visible), len(collapsed)) == (10, CLASSES - 10)


def test_tables_show_the_worst_first_and_all_in_one_click(many: Facts, source: str) -> None:
    section = source.split('id="comparison"')[1].split('id="slices"', maxsplit=1)[0]
    shown, rest = section.split("<details>", 1)
    names = [re.findall(r'<th scope="row" class="name">([^<]*?)\s*</th>', part) for part in (shown, rest)]
    by_name = {row["name"]: row["candidate"]["accuracy"] for row in accuracy.classes(many)}
    rows = [name for name in names[0] if name in by_name]
    assert rows[0] == "overall"
    assert len(rows) == shortened.ROWS + 1
    values = [by_name[name] for name in rows[1:] + [name for name in names[1] if name in by_name]]
    assert len(values) == CLASSES
    assert values == sorted(values)
    assert "All: 976 more" in rest


def test_samples_are_of_the_worst_classes_first(many: Facts) -> None:
    order = [row["label"] for row in shortened.by_need(accuracy.classes(many))[1:]]
    assert list(accuracy.samples(many)) == order


def test_confusion_of_many_classes_is_a_list_of_the_most_common_mistakes(source: str) -> None:
    section = source.split('id="confusion"')[1].split('id="calibration"', maxsplit=1)[0]
    assert 'class="confusion"' not in section
    assert section.count("<tr>") == 1 + 24
    assert len(section) < 20_000


def test_the_card_and_the_terminal_stay_short(many: Facts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(html.card(many).splitlines()) < 150
    summary.report(many, dict.fromkeys(("card", "json", "html"), tmp_path))
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) < 40
    assert "and 990 more: " in printed
    assert refusals(many.gates)[0] in printed
