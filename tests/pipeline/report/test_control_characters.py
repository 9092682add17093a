"""Control characters in names and messages reach neither the terminal nor a page."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from pipeline.report import html, index
from pipeline.report.facts import SplitFacts
from pipeline.store import Store
from schemas.text import printable
from tests.pipeline.command_line import gateline
from tests.pipeline.finished_run import finish
from tests.pipeline.predictions import Predictions
from tests.pipeline.report.test_index import gather_index
from tests.pipeline.report_page import edited, facts_of

FEW = Predictions.random(n=200)
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
