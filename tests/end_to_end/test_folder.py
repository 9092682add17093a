"""The line on a folder of images, as a new user runs it: draft the contract, run, change the folder, run again."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.components.image_files import image_folder
from tests.end_to_end.digits import NAMES, digits, gateline

pytestmark = pytest.mark.slow

CONFIG = {
    "source": {"folder": "digits", "test": 0.25, "unreadable": {"at_most": 0.02}},
    "schema": "digits.pbtxt",
    "train": {"model": {"kind": "mlp", "layers": [64]}, "epochs": 8},
    "gates": {"accuracy": 0.8, "per_class": 0.5, "paired": {"margin": 0.05}, "budget": {"margin": 0.1}},
    "evaluate": {"corrupted": 0},
    "push": {"model": "digits"},
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with 1,000 digits as PNG files, one of them damaged, and a configuration."""
    work = tmp_path_factory.mktemp("work")
    image_folder(work / "digits", *digits("train", 1000), NAMES)
    (work / "digits/two/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (work / "digits.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return work


def test_a_model_of_a_folder_is_pushed_and_a_changed_folder_is_ingested_again(work):
    gateline(work, "schema", "infer", "--config", "digits.yaml", "--out", "digits.pbtxt")
    draft = (work / "digits.pbtxt").read_text(encoding="utf-8")
    assert 'value: "zero"' in draft
    (work / "digits.pbtxt").write_text(draft.split("\n", 1)[1], encoding="utf-8")
    result = json.loads(gateline(work, "run", "--config", "digits.yaml", "--json").stdout)
    assert result["state"] == "pushed"
    assert result["stages"]["ingest"]["source"] == "digits"
    assert result["stages"]["ingest"]["unreadable"] == 1
    assert (work / "gateline/serving/digits/1/saved_model.pb").exists()
    report = gateline(work, "report", "1")
    assert "1 image could not be read and was set aside: see the report" in report.stdout
    page = (work / "gateline/reports/run-1.html").read_text(encoding="utf-8")
    assert "broken.png cannot be decoded as an image" in page
    again = json.loads(gateline(work, "run", "--config", "digits.yaml", "--dry-run", "--json").stdout)
    assert {step["action"] for step in again if step["stage"] == "ingest"} == {"reuse"}
    (work / "digits/two/broken.png").unlink()
    changed = json.loads(gateline(work, "run", "--config", "digits.yaml", "--dry-run", "--json").stdout)
    [ingest] = [step for step in changed if step["stage"] == "ingest"]
    assert ingest["action"] == "run"
    assert ingest["why"].startswith("data.")


def test_init_run_and_report_push_a_model_of_a_folder(work, tmp_path):
    """`init`, `run` and `report` without options, in a directory that contains only the images."""
    shutil.copytree(work / "digits", tmp_path / "digits")
    drafted = gateline(tmp_path, "init", "digits").stdout
    assert re.search(r"^images    [0-9,]+ train, [0-9,]+ validation, [0-9,]+ test$", drafted, re.MULTILINE)
    assert "size      28 x 28, 1 channel\n" in drafted
    assert re.search(r"^labels    4; in train, \d+ \(\w+\) to \d+ \(\w+\)$", drafted, re.MULTILINE)
    assert "wrote     gateline.yaml, digits.pbtxt" in drafted
    config = yaml.safe_load((tmp_path / "gateline.yaml").read_text(encoding="utf-8"))
    assert (config["source"], config["schema"]) == ({"folder": "digits"}, "digits.pbtxt")
    assert config["gates"]["accuracy"] == 0.62
    result = json.loads(gateline(tmp_path, "run", "--json").stdout)
    assert (result["state"], Path(result["path"]).parts[-2:]) == ("pushed", ("digits", "1"))
    assert len(list((tmp_path / "gateline/artifacts/ingest").iterdir())) == 1  # that of init
    assert "Pushed as version 1" in gateline(tmp_path, "report").stdout
    again = gateline(tmp_path, "init", "digits", code=2)
    assert again.stderr == "configuration: gateline.yaml already exists\n  Name another file with --out.\n"


def test_a_dataset_with_unused_classes_yields_a_pushed_model(work, tmp_path):
    numbers = dict(zip(NAMES, (1, 2, 4, 6), strict=True))
    files = [path for name in NAMES for path in sorted((work / "digits" / name).glob("[0-9]*.png"))]
    rows = [f"{path},{numbers[path.parent.name]}" for path in files]
    (tmp_path / "numbers.csv").write_text("\n".join(["image,label", *rows, ""]), encoding="utf-8")
    drafted = gateline(tmp_path, "init", "numbers.csv").stdout
    assert "unused    no images of 0, 3, 5: the contract marks classes that never occur as unused\n" in drafted
    result = json.loads(gateline(tmp_path, "run", "--json").stdout)
    assert result["state"] == "pushed"
    assert "3 classes are declared unused" in gateline(tmp_path, "report").stdout
    page = (tmp_path / "gateline/reports/run-2.html").read_text(encoding="utf-8")
    assert "3 classes are declared unused and not judged by gates: 0, 3, 5." in page
    with (tmp_path / "numbers.csv").open("a", encoding="utf-8") as table:
        table.write(f"{files[0]},3\n")
    refused = gateline(tmp_path, "run", code=4).stderr
    assert 'label is 3 (1 times); numbers.pbtxt declares unused by tag: "unused=3"' in refused
