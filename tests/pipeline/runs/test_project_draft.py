"""Drafts of a configuration: they load, wherever they and the images are."""

from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.runs import project_draft
from pipeline.runs.context import RunOptions
from schemas.contract import Contract
from schemas.errors import ConfigurationError
from schemas.settings.source import Folder, Table
from tests.components import pictures
from tests.components.image_files import image_folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current directory with images in `my colours`."""
    images, labels = pictures.pictures(120, seed=3)
    image_folder(tmp_path / "my colours", images, labels, pictures.NAMES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("out", ["gateline.yaml", "settings/colours.yaml"])
def test_a_draft_names_its_images_from_its_own_folder(here, out):
    (here / "settings").mkdir()
    draft = project_draft.write("my colours", Path(out), RunOptions(Path("gateline")))
    assert sum(draft.labels.values()) == draft.images["train"]
    config = load(file=Path(out))
    assert isinstance(config.source, Folder)
    assert Path(config.source.folder).resolve() == here / "my colours"
    assert config.source.name == "my colours"
    assert Contract.load(config.contract).names == tuple(sorted(pictures.NAMES))


def test_a_drafted_contract_precedes_the_shipped_one_of_its_name(here):
    (here / "my colours").rename(here / "mnist")
    (here / "settings").mkdir()
    project_draft.write("mnist", Path("settings/own.yaml"), RunOptions(Path("gateline")))
    assert Contract.load(load(file=Path("settings/own.yaml")).contract).largest == pictures.SHAPE


def test_a_root_inside_the_images_is_refused(here, monkeypatch):
    monkeypatch.chdir(here / "my colours")
    with pytest.raises(ConfigurationError) as error:
        project_draft.write(".", Path("gateline.yaml"), RunOptions(Path("gateline")))
    assert error.value.cause == "ROOT gateline is inside ., so it would be read as a label"
    assert not (here / "my colours/gateline").exists()


def test_a_table_is_drafted_with_the_names_of_its_columns(here):
    files = sorted((here / "my colours").rglob("*.png"))
    rows = [f"../{path.relative_to(here)},{path.parent.name}" for path in files]
    (here / "tables").mkdir()
    (here / "tables/own.csv").write_text("\n".join(["file,colour", *rows, ""]), encoding="utf-8")
    columns = {"image": "file", "label": "colour"}
    draft = project_draft.write("tables/own.csv", Path("gateline.yaml"), RunOptions(Path("gateline")), columns)
    assert draft.labels.keys() == set(pictures.NAMES)
    loaded = load(file=Path("gateline.yaml"))
    assert isinstance(loaded.source, Table)
    assert (Path(loaded.source.table).resolve(), loaded.source.image, loaded.source.label) == (
        here / "tables/own.csv",
        "file",
        "colour",
    )
    assert Contract.load(loaded.contract).names == tuple(sorted(pictures.NAMES))


@pytest.mark.parametrize(
    ("source", "columns", "words"),
    [
        ("my colours", {"image": "file"}, "my colours is a folder, which has no column file"),
        ("cifar10", {"group": "patient"}, "the TFDS dataset cifar10 has its own splits"),
    ],
)
def test_columns_of_a_source_that_has_none_are_refused(source, columns, words, here):
    with pytest.raises(ConfigurationError, match=words):
        project_draft.write(source, Path("gateline.yaml"), RunOptions(Path("gateline")), columns)
