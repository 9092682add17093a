"""What drifts easily in deploy/: commands and options, the image's name, exit codes, places, stages."""

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

FINAL = {ConfigurationError.exit_code, Refused.exit_code, DataError.exit_code}  # what trying again does not change
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
CLAIM, CRON_JOB, SERVING, SERVICE = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def strings(file: Path) -> list[str]:
    """The literal words of a Python file, in their order."""
    found = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return [node.value for node in sorted(found, key=lambda node: (node.lineno, node.col_offset))]


def commands() -> Iterator[tuple[str, list[str]]]:
    """(file, words behind `python -m pipeline`) of each place in deploy/ that runs gateline."""
    for path in (*UNITS, DEPLOY / "crontab"):
        for found in re.findall(r"-m pipeline (.*)", path.read_text(encoding="utf-8")):
            yield path.name, shlex.split(found)
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
    (found,) = template["spec"]["template"]["spec"]["containers"]
    return found


@pytest.mark.parametrize(("file", "words"), list(commands()), ids=lambda value: value if isinstance(value, str) else "")
def test_commands_options_and_profiles_exist(file: str, words: list[str]) -> None:
    command = typer.main.get_command(app).commands[words[0]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    assert words[words.index("--profile") + 1] in profiles()


def test_orchestrators_ask_the_line_for_its_stages_and_name_none() -> None:
    stages = set(line(load(profile="mnist"), Path()).stages)
    for name in ("airflow_dag.py", "kubeflow_pipeline.py"):
        words = strings(DEPLOY / name)
        assert "stages" in words
        assert not stages & set(words)


def test_every_cron_expression_can_be_read() -> None:
    (in_crontab,) = re.findall(r"^([\d*/, -]+) /", (DEPLOY / "crontab").read_text(encoding="utf-8"), re.MULTILINE)
    (in_airflow,) = re.findall(r'schedule="(.*?)"', (DEPLOY / "airflow_dag.py").read_text(encoding="utf-8"))
    scheduled = [words[words.index("--cron") + 1] for _, words in commands() if "--cron" in words]
    assert len(scheduled) == 2
    assert {in_crontab, in_airflow, CRON_JOB["spec"]["schedule"], *scheduled} == {"0 3 * * *"}
    Timetable.of(in_crontab, CRON_JOB["spec"]["timeZone"])


def test_a_refusal_is_final_everywhere() -> None:
    (rule, _) = CRON_JOB["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], set(rule["onExitCodes"]["values"])) == ("FailJob", FINAL)
    assert rule["onExitCodes"]["containerName"] == container(CRON_JOB["spec"]["jobTemplate"])["name"]
    assert (
        CRON_JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    )  # or the rule would not hold
    (prevented,) = re.findall(
        r"RestartPreventExitStatus=(.*)", (DEPLOY / "systemd/gateline.service").read_text(encoding="utf-8")
    )
    assert set(map(int, prevented.split())) == FINAL
    (final,) = re.findall(r"^FINAL = (.*?})", (DEPLOY / "airflow_dag.py").read_text(encoding="utf-8"), re.M | re.S)
    assert set(ast.literal_eval(final)) == FINAL
    assert "set_retry" not in strings(DEPLOY / "kubeflow_pipeline.py")


def test_runs_never_overlap_on_kubernetes() -> None:
    assert CRON_JOB["spec"]["concurrencyPolicy"] == "Forbid"


def test_there_is_one_image_and_its_version_is_the_packages() -> None:
    (version,) = re.findall(r'version="(.*?)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    named = {
        COMPOSE["services"]["line"]["image"],
        COMPOSE["services"]["scheduler"]["image"],
        container(CRON_JOB["spec"]["jobTemplate"])["image"],
        *re.findall(r'base_image="(.*?)"', (DEPLOY / "kubeflow_pipeline.py").read_text(encoding="utf-8")),
    }
    assert named == {f"gateline:{version}"}
    assert container(SERVING)["image"] == COMPOSE["services"]["serving"]["image"]


def test_what_the_image_is_made_of_is_sent_to_its_builder() -> None:
    sent = {
        row[1:]
        for row in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
        if row.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {word for words in copied for word in words.split()} == sent
    assert all((ROOT / path).exists() for path in sent)


def test_tensorflow_serving_reads_where_the_line_pushes_and_cannot_write_there() -> None:
    places = dict(re.findall(r"(GATELINE_\w+)=(\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8")))
    environment = {each["name"]: each["value"] for each in container(SERVING)["env"]}
    assert environment == COMPOSE["services"]["serving"]["environment"]
    assert environment == {
        "MODEL_NAME": load(profile="mnist").push.model,
        "MODEL_BASE_PATH": places["GATELINE_SERVING_DIR"],
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
def test_nothing_runs_as_root_or_without_limits(template: dict) -> None:
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


def test_every_file_is_in_the_readme() -> None:
    page = (DEPLOY.parent / "docs/how-to/deploy.md").read_text(encoding="utf-8")
    files = [path.name for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert [name for name in files if name not in page and name != "README.md"] == []
