"""The line on a folder of images, as a new user types it: draft the contract, run, add an image, run again."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).parents[2] / "components/mnist_sample"
NAMES = ["zero", "one", "two", "three"]
CONFIG = {
    "source": {"folder": "digits", "test": 0.25, "unreadable": {"at_most": 0.02}},
    "schema": "digits.pbtxt",
    "train": {"model": {"kind": "mlp", "layers": [64]}, "epochs": 8},
    "gates": {"accuracy": 0.8, "per_class": 0.5, "paired": {"margin": 0.05}, "budget": {"margin": 0.1}},
    "evaluate": {"corrupted": 0},
    "push": {"model": "digits"},
}


def unpacked(name: str, head: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress((DIGITS / name).read_bytes())[head:], np.uint8)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with 1,000 digits as PNG, one of them damaged, and a configuration beside it."""
    work = tmp_path_factory.mktemp("work")
    images = unpacked("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = unpacked("train-labels-idx1-ubyte.gz", 8)
    for i in np.flatnonzero(labels < 4)[:1000].tolist():
        path = work / "digits" / NAMES[labels[i]] / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(imagecodecs.png_encode(images[i]))
    (work / "digits/two/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (work / "digits.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return work


def gateline(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = {"PYTHONPATH": str(DIGITS.parents[1])}
    done = subprocess.run(
        command, cwd=work, capture_output=True, text=True, check=False, env=os.environ | environment, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_model_of_a_folder_is_pushed_and_a_changed_folder_is_ingested_again(work):
    gateline(work, "schema", "infer", "--config", "digits.yaml", "--out", "digits.pbtxt")
    draft = (work / "digits.pbtxt").read_text(encoding="utf-8")
    assert 'value: "zero"' in draft
    (work / "digits.pbtxt").write_text(draft.split("\n", 1)[1], encoding="utf-8")
    found = json.loads(gateline(work, "run", "--config", "digits.yaml", "--json").stdout)
    assert found["state"] == "pushed"
    assert found["stages"]["ingest"]["source"] == "digits"
    assert found["stages"]["ingest"]["unreadable"] == 1
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
    """`init`, `run` and `report`, without options, in a directory that holds nothing but the images."""
    shutil.copytree(work / "digits", tmp_path / "digits")
    drafted = gateline(tmp_path, "init", "digits").stdout
    assert re.search(r"^images    [0-9,]+ train, [0-9,]+ validation, [0-9,]+ test$", drafted, re.MULTILINE)
    assert "size      28 x 28, 1 channel\n" in drafted
    assert re.search(r"^labels    4; in train, \d+ \(\w+\) to \d+ \(\w+\)$", drafted, re.MULTILINE)
    assert "wrote     gateline.yaml, digits.pbtxt" in drafted
    config = yaml.safe_load((tmp_path / "gateline.yaml").read_text(encoding="utf-8"))
    assert (config["source"], config["schema"]) == ({"folder": "digits"}, "digits.pbtxt")
    assert config["gates"]["accuracy"] == 0.62
    found = json.loads(gateline(tmp_path, "run", "--json").stdout)
    assert (found["state"], Path(found["path"]).parts[-2:]) == ("pushed", ("digits", "1"))
    assert "Pushed as version 1" in gateline(tmp_path, "report").stdout
    again = subprocess.run(
        [sys.executable, "-m", "pipeline", "init", "digits"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert again.returncode == 2
    assert again.stderr == "configuration: gateline.yaml already exists\n  Name another file with --out.\n"
