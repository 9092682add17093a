"""Checks deploy/ with the tools of its ecosystems, and runs the line with Airflow and Kubeflow until a model is pushed.

    python -m tests.deploy                          everything; creates the environments first, from a package index
    python -m tests.deploy kubeflow --set source.data_dir=/data/tfds

The line is the profile `sample`. Takes about five minutes on two cores once the environments exist.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from tests.deploy import DEPLOY, ENVIRONMENTS, PACKAGES, ROOT

KUBEFLOW = """
from kfp import local
import kubeflow_pipeline
local.init(local.SubprocessRunner(use_venv=False), pipeline_root="outputs", raise_on_error=True)
kubeflow_pipeline.gateline()
"""


def environment(name: str) -> Path:
    """The programs of an environment, which is created if it does not exist."""
    folder = ENVIRONMENTS / name
    if not (folder / "ready").exists():
        say(f"making {folder}: {', '.join(PACKAGES[name])}")
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *PACKAGES[name]], check=True)
        (folder / "ready").touch()
    return folder / "bin"


def checkers() -> None:
    for name in PACKAGES:
        environment(name)
    run_command([sys.executable, "-m", "pytest", ROOT / "tests/deploy", "-q"], cwd=ROOT)


def airflow(home: Path, configuration: list[str]) -> None:
    """A DAG run that pushes, and one whose model is refused by the task `evaluate`, which is not retried."""
    programs = environment("airflow")
    variables = deploy_environment(home, configuration) | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DEPLOY),
    }
    variables |= {"AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PATH": f"{programs}:{os.environ['PATH']}"}
    run_command([programs / "airflow", "db", "migrate"], env=variables)
    run_command([programs / "airflow", "dags", "test", "gateline"], env=variables)
    assert served(home) == ["1"], served(home)
    strict = variables | {"GATELINE_CONFIGURATION": shlex.join([*configuration, "--set", "gates.accuracy=0.9999"])}
    command = [programs / "airflow", "dags", "test", "gateline"]
    refused = subprocess.run(
        command, env=strict, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    (home / "refused.log").write_text(refused.stdout, encoding="utf-8")
    runs = json.loads(
        subprocess.check_output(
            [sys.executable, "-m", "pipeline", "runs", "--json", "--root", home / "store"], cwd=ROOT
        )
    )
    assert "exit code 3, the model was refused" in refused.stdout, home / "refused.log"
    assert [run["state"] for run in runs].count("refused") == 1, "a refusal is not retried"
    assert served(home) == ["1"], served(home)


def kubeflow(home: Path, configuration: list[str]) -> None:
    programs = environment("kubeflow")
    variables = deploy_environment(home, configuration) | {
        "PYTHONPATH": str(DEPLOY),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    run_command([programs / "python", "-c", KUBEFLOW], env=variables, cwd=home)
    assert served(home) == ["1"], served(home)


def deploy_environment(home: Path, configuration: list[str]) -> dict[str, str]:
    """The environment variables that the files in deploy/ read; gateline runs with this Python."""
    command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "pipeline"]
    gateline_variables = {"GATELINE": shlex.join(command), "GATELINE_CONFIGURATION": shlex.join(configuration)}
    return (
        os.environ
        | gateline_variables
        | {"GATELINE_ROOT": str(home / "store"), "GATELINE_SERVING_DIR": str(home / "serving")}
    )


def served(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "serving/mnist_sample").iterdir() if path.name.isdecimal())


def run_command(command: list[object], **options: object) -> None:
    say(shlex.join(map(str, command))[:100])
    subprocess.run([str(word) for word in command], check=True, **options)


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def main() -> None:
    orchestrators: dict[str, Callable[[Path, list[str]], None]] = {"airflow": airflow, "kubeflow": kubeflow}
    parser = argparse.ArgumentParser(
        prog="python -m tests.deploy", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "what",
        nargs="*",
        choices=["checkers", *orchestrators, []],
        help="checkers, airflow, kubeflow; all of them if none",
    )
    parser.add_argument(
        "--set", action="append", default=[], dest="sets", help="a setting, as for python -m pipeline run"
    )
    options = parser.parse_args()
    configuration = ["--profile", "sample", *(word for setting in options.sets for word in ("--set", setting))]
    for name in options.what or ["checkers", *orchestrators]:
        if name == "checkers":
            checkers()
            continue
        home = ENVIRONMENTS / f"{name}-home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        orchestrators[name](home, configuration)
        say(f"{name}: a model was pushed")


if __name__ == "__main__":
    main()
