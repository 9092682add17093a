"""The user's environment must not change a run: descriptors, current directory, `~`, paths TensorFlow cannot read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
import yaml

from components._training import saved_model
from pipeline.config import PROFILES, load
from schemas.contract import Contract
from schemas.errors import ConfigurationError, StoreError
from schemas.places import check_loadable
from tests.components import pictures

ROOT = Path(__file__).parents[2]


def gateline(*arguments: object, cwd: Path, shell: str = "", **environment: str) -> subprocess.CompletedProcess:
    """`python -m pipeline`, optionally behind a redirection such as `2>&-`."""
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    clean_environment = {k: v for k, v in os.environ.items() if not k.startswith("GATELINE_")}
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command_line = ["bash", "-c", f'"$@" {shell}', "bash", *command] if shell else command
    return subprocess.run(
        command_line,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=clean_environment | {"PYTHONPATH": paths} | environment,
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_change_no_exit_code(closed: str, tmp_path: Path) -> None:
    done = gateline("run", "--dry-run", "--root", tmp_path / "root", cwd=tmp_path, shell=closed)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "root" / "store.json").read_text(encoding="utf-8").startswith("{")
    refused = gateline("run", "--set", "train.epoch=3", cwd=tmp_path, shell=closed)
    assert refused.returncode == 2


def test_user_modules_are_imported_from_the_current_directory(tmp_path: Path) -> None:
    """Also by the command `gateline`: Python does not look there for a script's modules."""
    (tmp_path / "own.py").write_text("class Images:\n    def rows(self):\n        return 1 / 0\n", encoding="utf-8")
    (tmp_path / "own.yaml").write_text(
        "source: {custom: 'own:Images'}\nschema: mnist.pbtxt\ngates: {accuracy: 0.9, per_class: 0.9}\n",
        encoding="utf-8",
    )
    command_line = [sys.executable, "-P", "-c", "from pipeline.cli import main; main()", "run", "--dry-run"]
    done = subprocess.run(
        [*command_line, "--config", "own.yaml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 4
    assert done.stderr.startswith("data: rows() of own:Images failed: ZeroDivisionError: division by zero\n")


def test_the_python_api_is_importable_next_to_the_default_root(tmp_path: Path) -> None:
    """ROOT is a folder `gateline`, which Python would take for a package if it found no module of that name."""
    (tmp_path / "gateline").mkdir()
    clean_environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", "import gateline; print(gateline.profiles())"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=clean_environment)
    assert "seed_adam" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["schemas.py", "components.py", "schemas/__init__.py"])
def test_a_user_module_does_not_shadow_gateline_packages(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("raise SystemExit('the wrong one')", encoding="utf-8")
    done = gateline("settings", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_tilde_in_an_option_expands_to_the_home_directory(tmp_path: Path) -> None:
    for arguments, environment in (
        (("--root=~/one",), {}),
        ((), {"GATELINE_ROOT": "~/two"}),
        (("--root=~/three", "--serving-dir=~/served"), {}),
    ):
        done = gateline("run", "--dry-run", *arguments, cwd=tmp_path, HOME=str(tmp_path), **environment)
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "three", "two"]


def test_a_tilde_in_a_setting_expands_to_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere/ann")
    config = load(profile="sample", sets=["source.data_dir=~/data", "push.signing.key=~/key.pem"])
    assert config.source.data_dir == "/nowhere/ann/data"
    assert config.push.signing and config.push.signing.key == "/nowhere/ann/key.pem"


def test_paths_in_a_configuration_file_are_relative_to_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = yaml.safe_load((PROFILES / "sample.yaml").read_text(encoding="utf-8"))
    settings["schema"] = "own.pbtxt"
    settings["source"]["data_dir"] = "prepared"
    settings["spans"] = {"directory": "spans"}
    settings["push"]["signing"] = {"key": "/keys/key.pem", "public_key": "keys/public.pem"}
    folder = tmp_path / "settings"
    folder.mkdir()
    (folder / "own.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    shutil.copy(ROOT / "schemas" / "mnist.pbtxt", folder / "own.pbtxt")
    monkeypatch.chdir(tmp_path)
    config = load(file=Path("settings/own.yaml"), sets=["source.manual_dir=typed"])
    assert Contract.load(config.contract).classes == 10
    assert config.source.data_dir == "settings/prepared"
    assert config.source.manual_dir == "typed"  # relative to the current directory
    assert config.spans and config.spans.directory == "settings/spans"
    assert config.push.signing
    assert (config.push.signing.key, config.push.signing.public_key) == ("/keys/key.pem", "settings/keys/public.pem")


def test_a_shipped_contract_is_found_by_name(tmp_path: Path) -> None:
    shutil.copy(PROFILES / "sample.yaml", tmp_path / "own.yaml")
    assert load(file=tmp_path / "own.yaml").contract == "mnist.pbtxt"


def test_a_missing_contract_is_refused_with_how_paths_are_resolved() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Contract.load("settings/absent.pbtxt")
    assert str(refused.value) == (
        "configuration: schema settings/absent.pbtxt is neither a file nor a shipped schema (mnist.pbtxt)\n"
        "  Paths in a configuration file are relative to its folder. Draft a schema with: "
        "python -m pipeline schema infer --profile PROFILE"
    )


@pytest.mark.parametrize("option", ["--root", "--serving-dir"])
@pytest.mark.parametrize("name", ["a[1]", "a]", "a\\b"])
def test_a_path_that_tensorflow_cannot_load_from_is_refused_before_the_run(
    option: str, name: str, tmp_path: Path
) -> None:
    done = gateline("run", option, tmp_path / name, cwd=tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path / name} contains " in done.stderr
    assert done.stderr.endswith(f"Name another directory with {option}.\n")
    assert list(tmp_path.iterdir()) == []


def test_an_unloadable_current_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a[1]").mkdir()
    monkeypatch.chdir(tmp_path / "a[1]")
    with pytest.raises(ConfigurationError, match=r"contains \[ and \]: TensorFlow cannot load a model from there"):
        check_loadable(Path("gateline"), "--root")


@pytest.mark.parametrize("name", ["plain", "sp ace", "ümlaut", "a[1]", "a\\b", "a*b", "a?b", "a{b}"])
def test_check_loadable_agrees_with_tensorflow(name: str, tmp_path: Path) -> None:
    """The rule of `check_loadable` against TensorFlow itself."""
    pictures.write_weights(tmp_path, "weights")
    shutil.move(tmp_path / "variables", (tmp_path / name).mkdir() or tmp_path / name / "variables")
    if set(name) & set("[\\"):
        with pytest.raises(StoreError, match="TensorFlow cannot load the model from "):
            saved_model.check_loadable(tmp_path / name)
    else:
        saved_model.check_loadable(tmp_path / name)
        assert tf.train.load_checkpoint(str(tmp_path / name / "variables" / "variables")).has_tensor("weights")


def test_a_configuration_in_utf_8_is_read_in_any_locale(tmp_path: Path) -> None:
    ascii_only = {"PYTHONUTF8": "0", "LC_ALL": "C"}
    contract = (ROOT / "schemas" / "mnist.pbtxt").read_text(encoding="utf-8")
    (tmp_path / "own.pbtxt").write_text(f"# für Größen\n{contract}", encoding="utf-8")
    sample = (PROFILES / "sample.yaml").read_text(encoding="utf-8").replace("mnist.pbtxt", "own.pbtxt")
    (tmp_path / "own.yaml").write_text(f"# für Größen\n{sample}", encoding="utf-8")
    done = gateline("run", "--dry-run", "--config", "own.yaml", "--root", "root", cwd=tmp_path, **ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "own.yaml").write_text(f"größe: 1\n{sample}", encoding="utf-8")
    refused = gateline("run", "--dry-run", "--config", "own.yaml", "--root", "root", cwd=tmp_path, **ascii_only)
    assert refused.returncode == 2
    assert r"gr\xf6\xdfe" in refused.stderr
