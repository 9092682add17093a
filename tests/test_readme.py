"""Every command and every program that README.md shows is run here, in its order, as a reader would type it.

What needs a network or an hour stands in for itself as closely as it can: full MNIST is planned (`--dry-run`), and
`fashion_mnist` is played by the embedded sample. `make run` and `make test` are what calls these tests: only what they
would do is looked at.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from pipeline.config import Config, load
from schemas.settings.evaluate import Measure
from schemas.settings.gates import Gates
from schemas.settings.notify import EVENTS
from tests.pages import ROOT, Page, Reader, making

PAGE = Page(ROOT / "README.md")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    found = Reader(tmp_path_factory.mktemp("reader"))
    (found.home / "fashion.yaml").write_text(
        block("yaml", 1).replace("{tfds: fashion_mnist}", "{tfds: mnist_sample, module: components.mnist_sample}")
    )
    return found


def block(kind: str, number: int = 0) -> str:
    return PAGE.blocks(kind)[number]


def stand_in(command: str) -> str:
    if command.startswith("make "):
        return making(command)
    if "--profile mnist" in command:
        return f"{command} --dry-run"
    return command


def test_every_command_of_the_readme_runs(reader):
    assert "make run" in PAGE.commands
    assert "make test" in PAGE.commands
    ready = reader.types("python -m pipeline run --profile sample")  # what `make run` does, seen below
    assert ready.returncode == 0, ready.stderr
    for command in PAGE.commands:
        found = reader.types(stand_in(command))
        assert found.returncode == 0, f"{command}\n{found.stdout}\n{found.stderr}"
        assert "Traceback" not in found.stderr
        if command == "make run":
            assert "-m pipeline run --profile sample" in found.stdout
        if command == "make test":
            assert "-m pytest" in found.stdout
    assert (reader.home / "gateline/serving/fashion/1/saved_model.pb").exists()


@pytest.mark.parametrize("number", range(len(PAGE.blocks("python"))))
def test_every_program_of_the_readme_runs(reader, number):
    if not (reader.home / "gateline/serving/mnist_sample/1").exists():
        assert reader.types("python -m pipeline run --profile sample").returncode == 0
    evaluated = next((reader.home / "gateline/artifacts/evaluate").iterdir()).name
    (reader.home / "program.py").write_text(block("python", number).replace("/KEY/", f"/{evaluated}/"))
    found = reader.types("python program.py")
    assert found.returncode == 0, found.stderr


LEAST = {
    "source": "{tfds: mnist}",
    "spans": "{directory: spans}",
    "schema": "mnist.pbtxt",
    "gates": "{accuracy: 0.9, per_class: 0.8}",
}


def configuration(shown: str, folder: Path) -> Config:
    """What a block shows, and the least that must be stated beside it."""
    stated = re.findall(r"^(\w+):", shown, re.MULTILINE)
    file = folder / "shown.yaml"
    file.write_text("".join(f"{name}: {value}\n" for name, value in LEAST.items() if name not in stated) + shown)
    return load(file=file)


@pytest.mark.parametrize("shown", PAGE.blocks("yaml"), ids=lambda shown: shown.split(":")[0])
def test_what_is_shown_is_a_configuration(shown, tmp_path):
    config = configuration(shown, tmp_path)
    config.gates.check(10, config.evaluate)


def test_every_gate_is_shown(tmp_path):
    config = configuration(block("yaml", 0), tmp_path)
    assert set(config.evaluate.derived) == set(get_args(Measure))
    stated = set(config.gates.model_fields_set)
    assert {name for name, field in Gates.model_fields.items() if field.annotation not in (float, int)} - stated <= {
        "drop"
    }


def test_every_kind_of_notice_is_named():
    assert all(f"`{event}`" in PAGE.text for event in EVENTS)


def test_every_command_is_documented():
    listed = subprocess.run(
        [sys.executable, "-m", "pipeline", "--help"], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    commands = re.findall(r"^│ (\w+) ", listed, re.MULTILINE)
    assert {"run", "runs", "show", "report", "settings", "schema"} <= set(commands)
    for command in commands:
        assert f"pipeline {command}" in PAGE.text, f"README.md does not show {command}"


def test_the_serving_configuration_names_models_of_shipped_profiles():
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    from pipeline import config

    found = text_format.Parse((ROOT / "deploy/models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    pushed = {config.load(profile=name).push.model for name in config.profiles()}
    assert {each.name for each in found.model_config_list.config} <= pushed
    assert all(each.base_path == f"/models/{each.name}" for each in found.model_config_list.config)
