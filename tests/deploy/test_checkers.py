"""Checks the files in deploy/ with the tools of their ecosystems. `python -m tests.deploy` installs missing tools."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy import DEPLOY, ROOT, tool

STRICT = {
    "PATH": os.environ["PATH"],
    "GATELINE": shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "pipeline"]),
}


def require_tool(environment: str, name: str) -> str:
    if (path := tool(environment, name)) is None:
        pytest.skip(f"{name} is not here; python -m tests.deploy installs it")
    return path


def require_python(environment: str, module: str) -> str:
    program = tool(environment, "python") or sys.executable
    if subprocess.run(
        [program, "-c", f"import importlib.util as i, sys; sys.exit(not i.find_spec('{module}'))"], check=False
    ).returncode:
        pytest.skip(f"{module} is not here; python -m tests.deploy installs it")
    return program


def run(*command: object, **options: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def stages() -> dict[str, list[str]]:
    """The stages of the profile `mnist`, each with those that it runs after."""
    rows = json.loads(run(sys.executable, "-m", "pipeline", "stages", "--profile", "mnist", "--json", cwd=ROOT))
    return {row["stage"]: sorted(row["after"]) for row in rows}


def test_hadolint_accepts_the_dockerfile() -> None:
    assert run(require_tool("checkers", "hadolint"), "--failure-threshold", "style", DEPLOY / "Dockerfile") == ""


def test_docker_compose_reads_the_compose_file() -> None:
    compose = json.loads(
        run(
            require_tool("checkers", "docker-compose"),
            "-f",
            DEPLOY / "compose.yaml",
            "--profile",
            "once",
            "config",
            "--format=json",
        )
    )
    assert set(compose["services"]) == {"line", "scheduler", "serving"}
    assert compose["services"]["line"]["build"]["dockerfile"] == "deploy/Dockerfile"
    assert Path(compose["services"]["line"]["build"]["context"]) == ROOT


def test_systemd_verifies_the_units(tmp_path: Path) -> None:
    analyze = require_tool("systemd", "systemd-analyze")
    for unit in (DEPLOY / "systemd").iterdir():  # with a program and a user that exist here
        (tmp_path / unit.name).write_text(
            unit.read_text(encoding="utf-8")
            .replace("/opt/gateline/bin/python", sys.executable)
            .replace("User=gateline", "User=root"),
            encoding="utf-8",
        )
    assert run(analyze, "verify", "--man=no", *sorted(tmp_path.iterdir())) == ""


def test_kubernetes_schemas_accept_the_manifests() -> None:
    output = run(require_tool("checkers", "kubernetes-validate"), "--strict", DEPLOY / "kubernetes.yaml")
    assert output.count(" passed ") == 4


def test_the_airflow_dag_has_the_stages_of_the_line(stages: dict[str, list[str]], tmp_path: Path) -> None:
    program = (
        "import json; from airflow_dag import gateline; dag = gateline()\n"
        "print('TASKS', json.dumps({t.task_id: sorted(t.upstream_task_ids) for t in dag.tasks}))"
    )
    environment = STRICT | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(DEPLOY)}
    output = run(require_python("airflow", "airflow"), "-c", program, env=environment)
    assert json.loads(output.split("TASKS ")[1].splitlines()[0]) == stages


def test_the_kubeflow_pipeline_has_the_stages_of_the_line(stages: dict[str, list[str]], tmp_path: Path) -> None:
    compiled = tmp_path / "gateline.yaml"
    run(require_python("kubeflow", "kfp"), DEPLOY / "kubeflow_pipeline.py", compiled, env=STRICT)
    pipeline, platform = yaml.safe_load_all(compiled.read_text(encoding="utf-8"))
    tasks = pipeline["root"]["dag"]["tasks"]
    names = {key: task["taskInfo"]["name"] for key, task in tasks.items()}
    assert {
        names[key]: sorted(names[stage_] for stage_ in task.get("dependentTasks", [])) for key, task in tasks.items()
    } == stages
    for task in tasks.values():
        assert task["inputs"]["parameters"]["stage"]["runtimeValue"]["constant"] == task["taskInfo"]["name"]
        assert not task["cachingOptions"]
    assert len(platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]) == len(stages)
