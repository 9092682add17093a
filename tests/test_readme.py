"""Every command and every program that README.md shows is run here, in its order, as a reader would type it.

What needs a network or an hour stands in for itself as closely as it can: full MNIST is planned (`--dry-run`), and
`fashion_mnist` is played by the embedded sample. `make run` and `make test` are what calls these tests: only what they
would do is looked at.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from pipeline.config import load
from schemas.settings import Gates, Measure

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.strip().splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An empty directory, with the package importable and nothing of the user's own."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").write_text("")
    (folder / "fashion.yaml").write_text(
        block("yaml", 1).replace("{tfds: fashion_mnist}", "{tfds: mnist_sample, module: components.mnist_sample}")
    )
    return folder


def block(kind: str, number: int = 0) -> str:
    return [text for found, text in BLOCKS if found == kind][number]


def shell(home: Path, command: str) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GATELINE_", "TFDS_"))}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment |= {"PATH": path, "PYTHONPATH": str(ROOT), "TFDS_DATA_DIR": str(home / "tfds")}
    return subprocess.run(["bash", "-c", command], cwd=home, env=environment, capture_output=True, text=True, timeout=600, check=False)


def stand_in(command: str) -> str:
    if command.startswith("make "):
        return f"make --dry-run -C {ROOT} {command.removeprefix('make ')}"
    if "--profile mnist" in command:
        return f"{command} --dry-run"
    return command


def test_every_command_of_the_readme_runs(home):
    assert "make run" in COMMANDS
    assert "make test" in COMMANDS
    ready = shell(home, "python -m pipeline run --profile sample")  # what `make run` does, seen below
    assert ready.returncode == 0, ready.stderr
    for command in COMMANDS:
        found = shell(home, stand_in(command))
        assert found.returncode == 0, f"{command}\n{found.stdout}\n{found.stderr}"
        assert "Traceback" not in found.stderr
        if command == "make run":
            assert "-m pipeline run --profile sample" in found.stdout
        if command == "make test":
            assert "-m pytest" in found.stdout
    assert (home / "gateline/serving/fashion/1/saved_model.pb").exists()


@pytest.mark.parametrize("number", range(len([1 for kind, _ in BLOCKS if kind == "python"])))
def test_every_program_of_the_readme_runs(home, number):
    if not (home / "gateline/serving/mnist_sample/1").exists():
        assert shell(home, "python -m pipeline run --profile sample").returncode == 0
    evaluated = next((home / "gateline/artifacts/evaluate").iterdir()).name
    (home / "program.py").write_text(block("python", number).replace("/KEY/", f"/{evaluated}/"))
    found = shell(home, "python program.py")
    assert found.returncode == 0, found.stderr


def test_the_notices_shown_are_a_configuration(tmp_path):
    file = tmp_path / "notify.yaml"
    file.write_text("source: {tfds: mnist}\nschema: mnist.pbtxt\ngates: {accuracy: 0.9, per_class: 0.8}\n" + block("yaml", 2))
    assert len(load(file=file).notify) == 2


def test_the_gates_shown_are_a_configuration(tmp_path):
    file = tmp_path / "gates.yaml"
    file.write_text("source: {tfds: mnist}\nschema: mnist.pbtxt\n" + block("yaml", 0))
    config = load(file=file)
    config.gates.check(10, config.evaluate)
    assert set(config.evaluate.derived) == set(get_args(Measure))
    stated = set(config.gates.model_fields_set)
    assert {name for name, field in Gates.model_fields.items() if field.annotation not in (float, int)} - stated <= {"drop"}


def test_every_command_is_documented():
    listed = subprocess.run([sys.executable, "-m", "pipeline", "--help"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    commands = re.findall(r"^│ (\w+) ", listed, re.MULTILINE)
    assert {"run", "runs", "show", "report", "settings", "schema"} <= set(commands)
    for command in commands:
        assert f"pipeline {command}" in README, f"README.md does not show {command}"


def test_the_serving_configuration_names_models_of_shipped_profiles():
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    from pipeline import config

    found = text_format.Parse((ROOT / "deploy/models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    pushed = {config.load(profile=name).push.model for name in config.profiles()}
    assert {each.name for each in found.model_config_list.config} <= pushed
    assert all(each.base_path == f"/models/{each.name}" for each in found.model_config_list.config)
