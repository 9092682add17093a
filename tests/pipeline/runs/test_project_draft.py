"""Drafts of a configuration load from any folder."""

from pathlib import Path

import pytest

from gateline import configure, plan
from pipeline.config import load
from pipeline.runs import project_draft
from pipeline.runs.context import RunOptions
from schemas.contract import Contract
from schemas.errors import ConfigurationError
from schemas.settings.source import Folder, Table
from tests.components import pictures
from tests.components.image_files import image_folder, tfrecord_files


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current directory, with images in `my colours`."""
    images, labels = pictures.pictures(120, seed=3)
    image_folder(tmp_path / "my colours", images, labels, pictures.NAMES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("out", ["gateline.yaml", "settings/colours.yaml"])
def test_a_draft_refers_to_its_images_relative_to_its_folder(project, out):
    (project / "settings").mkdir()
    draft = project_draft.write("my colours", Path(out), RunOptions(Path("gateline")))
    assert sum(draft.labels.values()) == draft.images["train"]
    config = load(file=Path(out))
    assert isinstance(config.source, Folder)
    assert Path(config.source.folder).resolve() == project / "my colours"
    assert config.source.name == "my colours"
    assert Contract.load(config.contract).names == tuple(sorted(pictures.NAMES))


def test_a_drafted_contract_overrides_the_shipped_one_with_the_same_name(project):
    (project / "my colours").rename(project / "mnist")
    (project / "settings").mkdir()
    project_draft.write("mnist", Path("settings/own.yaml"), RunOptions(Path("gateline")))
    assert Contract.load(load(file=Path("settings/own.yaml")).contract).largest == pictures.SHAPE


def test_a_root_inside_the_images_is_refused(project, monkeypatch):
    monkeypatch.chdir(project / "my colours")
    with pytest.raises(ConfigurationError) as error:
        project_draft.write(".", Path("gateline.yaml"), RunOptions(Path("gateline")))
    assert error.value.cause == "ROOT gateline is inside ., so it would be read as a label"
    assert not (project / "my colours/gateline").exists()


def test_a_draft_for_a_table_names_its_columns(project):
    files = sorted((project / "my colours").rglob("*.png"))
    rows = [f"../{path.relative_to(project)},{path.parent.name}" for path in files]
    (project / "tables").mkdir()
    (project / "tables/own.csv").write_text("\n".join(["file,colour", *rows, ""]), encoding="utf-8")
    columns = {"image": "file", "label": "colour"}
    draft = project_draft.write("tables/own.csv", Path("gateline.yaml"), RunOptions(Path("gateline")), columns)
    assert draft.labels.keys() == set(pictures.NAMES)
    loaded = load(file=Path("gateline.yaml"))
    assert isinstance(loaded.source, Table)
    assert (Path(loaded.source.table).resolve(), loaded.source.image, loaded.source.label) == (
        project / "tables/own.csv",
        "file",
        "colour",
    )
    assert Contract.load(loaded.contract).names == tuple(sorted(pictures.NAMES))


@pytest.mark.parametrize("labels", ["names", "numbers"])
@pytest.mark.parametrize("form", ["folder", "table", "records"])
def test_the_first_run_reuses_the_records_of_a_draft(form, labels, project):
    files = sorted((project / "my colours").rglob("*.png"))
    rows = [(path, path.parent.name if labels == "names" else pictures.NAMES.index(path.parent.name)) for path in files]
    match form:
        case "folder":
            for path, label in rows:
                (project / "own" / str(label)).mkdir(parents=True, exist_ok=True)
                path.rename(project / "own" / str(label) / path.name)
            source = "own"
        case "table":
            source = "own.csv"
            lines = ["image,label", *(f"{path},{label}" for path, label in rows), ""]
            Path(source).write_text("\n".join(lines), encoding="utf-8")
        case _:
            source = tfrecord_files(Path("own"), [(path.read_bytes(), label) for path, label in rows], 2)
    project_draft.write(source, Path("gateline.yaml"), RunOptions(Path("gateline")))
    actions = {step.name: step.action for step in plan(configure())}
    assert actions["ingest"] == actions["describe"] == "reuse"


@pytest.mark.parametrize(
    ("source", "columns", "message"),
    [
        ("my colours", {"image": "file"}, "my colours is a folder, which has no column file"),
        ("cifar10", {"group": "patient"}, "the TFDS dataset cifar10 has its own splits"),
    ],
)
def test_columns_for_a_source_without_columns_are_refused(source, columns, message, project):
    with pytest.raises(ConfigurationError, match=message):
        project_draft.write(source, Path("gateline.yaml"), RunOptions(Path("gateline")), columns)
