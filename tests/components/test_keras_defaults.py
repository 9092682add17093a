"""The user's Keras configuration and environment do not change the network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USER_CONFIGURATION = {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1, "backend": "jax"}
USER_ENVIRONMENT = {"KERAS_BACKEND": "jax", "KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1"}
PROGRAM = """
import json, sys
from components._training import keras_defaults
keras_defaults.apply()
import keras
from components.models.build import build
from schemas.settings.train import Cnn
network = build(Cnn(filters=[4], dense=8), (8, 10, 3), 3)
config = keras.config
print(json.dumps({
    "backend": config.backend(), "format": config.image_data_format(), "floatx": config.floatx(),
    "epsilon": config.epsilon(), "limits": [config.max_epochs(), config.max_steps_per_epoch()],
    "output": network.compute_output_shape((1, 8, 10, 3)), "network": keras.saving.serialize_keras_object(network),
    "parameters": network.count_params(),
}))
"""


def run_program(home: Path, environment: dict[str, str], program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("KERAS")}
    variables |= {"HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_network_does_not_depend_on_the_users_keras_configuration(tmp_path):
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras" / "keras.json").write_text(json.dumps(USER_CONFIGURATION), encoding="utf-8")
    (tmp_path / "empty").mkdir()
    changed = json.loads(run_program(home, USER_ENVIRONMENT).stdout)
    default = json.loads(run_program(tmp_path / "empty", {}).stdout)
    assert changed == default
    assert (default["backend"], default["format"], default["floatx"], default["epsilon"], default["limits"]) == (
        ("tensorflow", "channels_last", "float32", 1e-7, [None, None])
    )


APPLY = """
from components._training import keras_defaults
try:
    keras_defaults.apply()
except Exception as error:
    print(error)
"""


def test_an_invalid_keras_configuration_is_refused(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"floatx": "float8"}', encoding="utf-8")
    done = run_program(tmp_path, {}, APPLY)
    cause = (
        "configuration: Keras cannot use its configuration file ~/.keras/keras.json: Invalid `floatx` configuration."
    )
    assert done.stdout.startswith(cause), done.stderr
    assert done.stdout.endswith("Correct the file, or remove it: gateline does not need it.\n")


@pytest.mark.slow
def test_keras_with_another_backend_is_refused(tmp_path):
    # No other backend is installed; this is the state after an import of Keras with another backend.
    imported = "import keras\nfrom keras.src.backend import config\nconfig._BACKEND = 'jax'\n"
    done = run_program(tmp_path, {}, imported + APPLY)
    assert done.stdout == (
        "configuration: Keras runs on the backend jax; tensorflow is needed\n"
        "  Set KERAS_BACKEND=tensorflow before Keras is imported.\n"
    ), done.stderr
