"""The documentation: every command and program on a page runs, in order, as a reader would run it.

What needs a network or an hour is replaced: full MNIST is planned (`--dry-run`), and the
shipped sample replaces `fashion_mnist`. For `make run` and `make test`, only the commands they would run are checked.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from pipeline.config import Config, load
from pipeline.notify import EVENTS
from schemas.settings.evaluate import Measure
from schemas.settings.gates import Gates
from tests.pages import ROOT, Page, Reader, dry_make

PAGES = [Page(ROOT / "README.md"), *map(Page, sorted((ROOT / "docs").rglob("*.md")))]
ALL = [*PAGES, *(Page(ROOT / name) for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))]


def names(pages: list[Page]) -> list[str]:
    return [str(page.path.relative_to(ROOT)) for page in pages]


NIGHTLY = ROOT / "docs/how-to/nightly.md"  # run by test_nightly.py, next to a scheduler
PAGES_TO_RUN = [page for page in PAGES if (page.commands or page.blocks("python")) and page.path != NIGHTLY]
CONFIGURATION = re.compile(r"`(\w+\.yaml)`:\n\n```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a reader after `make run`."""
    reader = Reader(tmp_path_factory.mktemp("reader"))
    done = reader.run("python -m pipeline run --profile sample")
    assert done.returncode == 0, done.stderr
    return reader.home


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_TO_RUN, ids=names(PAGES_TO_RUN))
def test_every_command_and_program_on_a_page_runs(page, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "home", symlinks=True)
    reader = Reader(tmp_path / "home")
    for name, block in CONFIGURATION.findall(page.text):
        text = block.replace("{tfds: fashion_mnist}", "{tfds: mnist_sample, module: components.mnist_sample}")
        (reader.home / name).write_text(text, encoding="utf-8")
    for command in page.commands:
        done = reader.run(replacement(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    evaluation = next((reader.home / "gateline/artifacts/evaluate").iterdir()).name
    for program in page.blocks("python"):
        (reader.home / "program.py").write_text(program.replace("/KEY/", f"/{evaluation}/"), encoding="utf-8")
        done = reader.run("python program.py")
        assert done.returncode == 0, f"{program}\n{done.stderr}"


def replacement(command: str) -> str:
    if command.startswith("make "):
        return dry_make(command)
    return f"{command} --dry-run" if "--profile mnist" in command else command


def test_make_targets_run_the_sample_and_the_tests():
    for target, command in {"run": "-m pipeline run --profile sample", "test": "-m pytest"}.items():
        shell = ["bash", "-c", dry_make(f"make {target}")]
        assert command in subprocess.run(shell, capture_output=True, text=True, check=True).stdout
    assert {"make run", "make test"} <= set(PAGES[0].commands)


REQUIRED = {
    "source": "{tfds: mnist}",
    "spans": "{directory: spans}",
    "schema": "mnist.pbtxt",
    "gates": "{accuracy: 0.9, per_class: 0.8}",
}


def configuration(block: str, folder: Path) -> Config:
    """The configuration in a block, completed with the required settings that it omits."""
    given_names = re.findall(r"^(\w+):", block, re.MULTILINE)
    file = folder / "block.yaml"
    missing = "".join(f"{name}: {value}\n" for name, value in REQUIRED.items() if name not in given_names)
    file.write_text(missing + block, encoding="utf-8")
    return load(file=file)


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_yaml_block_is_a_valid_configuration(page, tmp_path):
    for block in page.blocks("yaml"):
        config = configuration(block, tmp_path)
        config.gates.check(range(10), config.evaluate)


def test_the_gates_page_shows_every_gate(tmp_path):
    config = configuration(Page(ROOT / "docs/how-to/gates.md").blocks("yaml")[0], tmp_path)
    assert set(config.evaluate.derived) == set(get_args(Measure))
    configured = set(config.gates.model_fields_set)
    assert {
        name for name, field in Gates.model_fields.items() if field.annotation not in (float, int)
    } - configured <= {"drop"}


def test_the_notify_page_names_every_event():
    text = (ROOT / "docs/how-to/notify.md").read_text(encoding="utf-8")
    assert all(f"`{event}`" in text for event in EVENTS)


def test_every_command_is_documented():
    help_text = subprocess.run(
        [sys.executable, "-m", "pipeline", "--help"], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    commands = re.findall(r"^│ (\w+) ", help_text, re.MULTILINE)
    assert {"run", "runs", "show", "report", "settings", "schema"} <= set(commands)
    text = "".join(page.text for page in PAGES)
    assert [command for command in commands if f"pipeline {command}" not in text] == []


def test_generated_pages_are_current():
    program = "import json, sys; sys.path.insert(0, 'docs'); import generate; json.dump(generate.pages(), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    pages = json.loads(done.stdout)
    stale = [name for name, text in pages.items() if (ROOT / "docs" / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run python docs/generate.py"


@pytest.mark.parametrize("page", ALL, ids=names(ALL))
def test_every_link_to_a_file_resolves(page):
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#[\w-]+)?\)", page.text)
    assert [target for target in targets if target and not (page.path.parent / target).exists()] == []


def test_the_serving_configuration_uses_models_of_shipped_profiles():
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    from pipeline import config

    text = (ROOT / "deploy/models.config").read_text(encoding="utf-8")
    models = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    pushed = {config.load(profile=name).push.model for name in config.profiles()}
    assert {model.name for model in models} <= pushed
    assert all(model.base_path == f"/models/{model.name}" for model in models)


def test_programs_on_pages_import_only_the_public_module():
    imported = {
        str(page.path.relative_to(ROOT)): re.findall(
            r"^ *(?:from|import) (?:pipeline|schemas|components)\b.*", "".join(page.blocks("python")), re.MULTILINE
        )
        for page in PAGES
        if page.path != NIGHTLY  # it names the module of the sample
    }
    assert {page: lines for page, lines in imported.items() if lines} == {}
