"""Values in deploy/ that must match the code: commands, options, the image's name, exit codes, paths, stages."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from pipeline.cli import app
from pipeline.config import load, profiles
from pipeline.dag import line
from pipeline.schedule.cron import Timetable
from schemas.errors import ConfigurationError, DataError, Refused
from tests.deploy import DEPLOY, ROOT

FINAL = {ConfigurationError.exit_code, Refused.exit_code, DataError.exit_code}  # a retry does not change these
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
CLAIM, CRON_JOB, SERVING, SERVICE = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def strings(file: Path) -> list[str]:
    """The string literals of a Python file, in order."""
    nodes = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return [node.value for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset))]


def commands() -> Iterator[tuple[str, list[str]]]:
    """(file, arguments after `python -m pipeline`) of each place in deploy/ that runs gateline."""
    for path in (*UNITS, DEPLOY / "crontab"):
        for command_line in re.findall(r"-m pipeline (.*)", path.read_text(encoding="utf-8")):
            yield path.name, shlex.split(command_line)
    for name in ("line", "scheduler"):
        yield f"compose.yaml {name}", COMPOSE["services"][name]["command"]
    yield "kubernetes.yaml", container(CRON_JOB["spec"]["jobTemplate"])["args"]
    yield (
        "Dockerfile",
        ast.literal_eval(re.search(r"^CMD (.*)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[1]),
    )
    for name in ("airflow_dag.py", "kubeflow_pipeline.py"):
        options = [
            word for word in strings(DEPLOY / name) if re.fullmatch(r"--[a-z-]+", word) and word != "--no-deps"
        ]  # pip's
        assert {"--only", "--hold", "--wait"} <= set(options)
        yield (
            name,
            [
                "run",
                *options,
                *shlex.split(next(word for word in strings(DEPLOY / name) if word.startswith("--profile "))),
            ],
        )


def container(template: dict) -> dict:
    (container_,) = template["spec"]["template"]["spec"]["containers"]
    return container_


@pytest.mark.parametrize(
    ("file", "arguments"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_commands_options_and_profiles_exist(file: str, arguments: list[str]) -> None:
    command = typer.main.get_command(app).commands[arguments[0]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("--")} <= known
    assert arguments[arguments.index("--profile") + 1] in profiles()


def test_orchestrators_query_the_stages_and_hard_code_none() -> None:
    stages = set(line(load(profile="mnist"), Path()).stages)
    for name in ("airflow_dag.py", "kubeflow_pipeline.py"):
        arguments = strings(DEPLOY / name)
        assert "stages" in arguments
        assert not stages & set(arguments)


def test_every_cron_expression_is_valid_and_equal() -> None:
    (in_crontab,) = re.findall(r"^([\d*/, -]+) /", (DEPLOY / "crontab").read_text(encoding="utf-8"), re.MULTILINE)
    (in_airflow,) = re.findall(r'schedule="(.*?)"', (DEPLOY / "airflow_dag.py").read_text(encoding="utf-8"))
    scheduled = [arguments[arguments.index("--cron") + 1] for _, arguments in commands() if "--cron" in arguments]
    assert len(scheduled) == 2
    assert {in_crontab, in_airflow, CRON_JOB["spec"]["schedule"], *scheduled} == {"0 3 * * *"}
    Timetable.of(in_crontab, CRON_JOB["spec"]["timeZone"])


def test_a_refusal_is_never_retried() -> None:
    (rule, _) = CRON_JOB["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], set(rule["onExitCodes"]["values"])) == ("FailJob", FINAL)
    assert rule["onExitCodes"]["containerName"] == container(CRON_JOB["spec"]["jobTemplate"])["name"]
    # The rule requires this restart policy.
    assert CRON_JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    (exit_codes,) = re.findall(
        r"RestartPreventExitStatus=(.*)", (DEPLOY / "systemd/gateline.service").read_text(encoding="utf-8")
    )
    assert set(map(int, exit_codes.split())) == FINAL
    (final,) = re.findall(r"^FINAL = (.*?})", (DEPLOY / "airflow_dag.py").read_text(encoding="utf-8"), re.M | re.S)
    assert set(ast.literal_eval(final)) == FINAL
    assert "set_retry" not in strings(DEPLOY / "kubeflow_pipeline.py")


def test_runs_never_overlap_on_kubernetes() -> None:
    assert CRON_JOB["spec"]["concurrencyPolicy"] == "Forbid"


def test_all_files_use_one_image_with_the_version_of_the_package() -> None:
    (version,) = re.findall(r'version="(.*?)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    images = {
        COMPOSE["services"]["line"]["image"],
        COMPOSE["services"]["scheduler"]["image"],
        container(CRON_JOB["spec"]["jobTemplate"])["image"],
        *re.findall(r'base_image="(.*?)"', (DEPLOY / "kubeflow_pipeline.py").read_text(encoding="utf-8")),
    }
    assert images == {f"gateline:{version}"}
    assert container(SERVING)["image"] == COMPOSE["services"]["serving"]["image"]


def test_dockerignore_includes_exactly_the_copied_files() -> None:
    included = {
        row[1:]
        for row in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
        if row.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {word for paths in copied for word in paths.split()} == included
    assert all((ROOT / path).exists() for path in included)


def test_tensorflow_serving_mounts_the_serving_directory_read_only() -> None:
    variables = dict(re.findall(r"(GATELINE_\w+)=(\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8")))
    environment = {variable["name"]: variable["value"] for variable in container(SERVING)["env"]}
    assert environment == COMPOSE["services"]["serving"]["environment"]
    assert environment == {
        "MODEL_NAME": load(profile="mnist").push.model,
        "MODEL_BASE_PATH": variables["GATELINE_SERVING_DIR"],
    }
    assert COMPOSE["services"]["serving"]["volumes"] == ["gateline:/var/lib/gateline:ro"]
    assert container(SERVING)["volumeMounts"][0] == {
        "name": "gateline",
        "mountPath": "/var/lib/gateline",
        "readOnly": True,
    }
    ports = {port["name"]: port["containerPort"] for port in container(SERVING)["ports"]}
    assert {port["name"]: port["port"] for port in SERVICE["spec"]["ports"]} == ports
    assert SERVICE["spec"]["selector"] == SERVING["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("template", [CRON_JOB["spec"]["jobTemplate"], SERVING], ids=["line", "serving"])
def test_no_container_runs_as_root_or_without_limits(template: dict) -> None:
    pod = template["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container(template)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(template)["resources"]["limits"]["memory"]
    (uid,) = re.findall(r"^USER (\d+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert pod["securityContext"]["runAsUser"] == int(uid)
    assert {service["user"] for service in COMPOSE["services"].values()} == {uid}


def test_every_file_is_documented() -> None:
    page = (DEPLOY.parent / "docs/how-to/deploy.md").read_text(encoding="utf-8")
    files = [path.name for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert [name for name in files if name not in page and name != "README.md"] == []
