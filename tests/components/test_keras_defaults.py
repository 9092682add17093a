"""What a user's Keras configuration and environment may not change."""

import json
import os
import subprocess
import sys
from pathlib import Path

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


def described(home: Path, environment: dict[str, str], program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KERAS")}
    inherited |= {"HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=inherited, capture_output=True, text=True, check=False)


def test_the_network_does_not_depend_on_the_users_keras_configuration(tmp_path):
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras" / "keras.json").write_text(json.dumps(USER_CONFIGURATION), encoding="utf-8")
    (tmp_path / "empty").mkdir()
    changed = json.loads(described(home, USER_ENVIRONMENT).stdout)
    plain = json.loads(described(tmp_path / "empty", {}).stdout)
    assert changed == plain
    assert (plain["backend"], plain["format"], plain["floatx"], plain["epsilon"], plain["limits"]) == (
        ("tensorflow", "channels_last", "float32", 1e-7, [None, None])
    )


APPLIED = """
from components._training import keras_defaults
try:
    keras_defaults.apply()
except Exception as error:
    print(error)
"""


def test_a_configuration_that_keras_refuses_is_named(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"floatx": "float8"}', encoding="utf-8")
    done = described(tmp_path, {}, APPLIED)
    cause = (
        "configuration: Keras cannot use its configuration file ~/.keras/keras.json: Invalid `floatx` configuration."
    )
    assert done.stdout.startswith(cause), done.stderr
    assert done.stdout.endswith("Correct the file, or remove it: gateline does not need it.\n")


def test_a_keras_that_was_imported_with_another_backend_is_refused(tmp_path):
    # No other backend is installed; this is the state that importing Keras with one leaves.
    imported = "import keras\nfrom keras.src.backend import config\nconfig._BACKEND = 'jax'\n"
    done = described(tmp_path, {}, imported + APPLIED)
    assert done.stdout == (
        "configuration: Keras runs on the backend jax; tensorflow is needed\n"
        "  Set KERAS_BACKEND=tensorflow before Keras is imported.\n"
    ), done.stderr
