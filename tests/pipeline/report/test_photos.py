"""What the page shows of photos: tables of splits and classes, and near copies as pairs of pictures."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.report import html, photos
from pipeline.report.facts import Facts
from pipeline.store import Store
from tests.pipeline.finished_run import finish
from tests.pipeline.predictions import Predictions
from tests.pipeline.report.test_lost_artifacts import artifact_folder, truncate
from tests.pipeline.report_page import Page, edited, facts_of

FEW = Predictions.random(n=200)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with one run on photos that have 57 pairs of near copies."""
    root = Store(tmp_path / "root").root
    finish(root, FEW, near_copies=57)
    return root


@pytest.fixture
def facts(root: Path) -> Facts:
    return facts_of(root, 1)


def test_splits_and_classes_have_a_table_each(facts: Facts) -> None:
    text = Page(html.page(facts)).text
    assert "All are RGB." in text
    columns = "format EXIF data short side, px aspect KB brightness contrast sharpness"
    train = "train 5,400 jpeg 90 % png 10 % none 375 1.33 21 114 40 – 118 54 50 – 58 1,000"
    assert f"Photos by split split images {columns} {train} validation 600" in text
    assert "test 200 jpeg 90 % png 10 % 10 % 10 % rotated 375 1.33" in text
    assert "Photos of train by class, those that differ most first class images format short side, px" in text


def test_classes_that_differ_come_first_and_are_marked(facts: Facts) -> None:
    table = photos.classes(facts)
    assert table
    assert [row.name for row in table.rows][:2] == ["3", "9"]
    marked = {row.name: [name for name, cell in row.cells.items() if cell.differs] for row in table.rows}
    assert marked.pop("3") == ["format", "brightness"]
    assert not any("format" in names or "brightness" in names for names in marked.values())


def test_the_rows_of_many_classes_are_collapsed(facts: Facts) -> None:
    train = facts.splits["train"].photos
    many = {"": train[""]} | {str(k): train["3" if k == 40 else "4"] for k in range(50)}
    splits = facts.splits | {"train": dataclasses.replace(facts.splits["train"], photos=many)}
    page = Page(html.page(edited(facts, splits=splits)))
    assert "38 more classes" in page.text
    assert page.text.index("40 540 png") < page.text.index("0 540 jpeg") < page.text.index("38 more classes")


def test_a_single_class_has_no_table(facts: Facts) -> None:
    train = facts.splits["train"].photos
    splits = {"train": dataclasses.replace(facts.splits["train"], photos={"": train[""], "0": train["0"]})}
    assert photos.classes(edited(facts, splits=splits)) is None


def test_near_copies_are_shown_as_pairs_of_pictures(facts: Facts) -> None:
    source = html.page(facts)
    page = Page(source)
    assert "57 pairs of the same photo, re-encoded, resized or mirrored; the first 24 are shown." in page.text
    shown = [image for image in page.all("img") if "image/jpeg" in (image["src"] or "")]
    assert len(shown) == 48
    assert [image["alt"] for image in shown[4:6]] == ["Image 2 of test, labelled 2", "Image 14 of train, labelled 2"]
    assert "2 test 2 400 × 300 2 train 14 200 × 150" in page.text
    assert page.text.count("labels differ") == 1
    assert "18 more" in page.text
    assert len(source.encode()) < 3_000_000  # of noise, which compresses worst
    assert page.open == []


@pytest.mark.parametrize("pairs", [0, 1])
def test_few_pairs_are_all_shown(pairs: int, tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    finish(root, FEW, near_copies=pairs)
    text = Page(html.page(facts_of(root, 1))).text
    assert ("Near copies" in text) == bool(pairs)
    assert ("1 pair of the same photo, re-encoded, resized or mirrored. Test images" in text) == bool(pairs)


def test_artifacts_of_older_versions_are_shown_without_photo_statistics(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    finish(root, FEW)
    facts = facts_of(root, 1)
    assert (facts.near_copies, facts.near_pictured, facts.near_images) == (0, [], None)
    assert (facts.missing, facts.damaged, facts.problems) == ([], {}, {})
    text = Page(html.page(facts)).text
    assert "Photos by split" not in text
    assert "Near copies" not in text
    assert "Records by split" in text


@pytest.mark.parametrize("name", ["near-pictured.json", "near-pictures.npy"])
def test_damaged_pictures_are_named_and_left_out(name: str, root: Path) -> None:
    truncate(artifact_folder(root, "describe") / name)
    facts = facts_of(root, 1)
    assert facts.damaged == {"describe": [name]}
    text = Page(html.page(facts)).text
    assert f"Damaged: {name} of describe." in text
    assert "Near copies" not in text
