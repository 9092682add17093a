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
from PIL import Image

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
# The first words of the commands that no test of a page runs, with the reason.
NOT_RUN = {
    "docs/how-to/deploy.md": {
        "python3.11": "writes to /opt",
        "/opt/gateline/bin/pip": "writes to /opt",
        "useradd": "changes the machine",
        "cp": "changes the machine",
        "docker": "needs Docker",
        "export": "an address of another machine",
        "KERASTUNER_TUNER_ID=chief": "needs a second machine: test_tune.py runs both on one",
        "KERASTUNER_TUNER_ID=worker1": "needs a second machine: test_tune.py runs both on one",
    },
    "docs/how-to/serve.md": {"docker": "needs Docker", "curl": "needs TensorFlow Serving"},
    "docs/how-to/sign.md": {} if shutil.which("openssl") else {"openssl": "is not installed"},
    "CONTRIBUTING.md": {"python": "takes an hour"},
    "SECURITY.md": {"python": "takes an hour"},
}


def not_run(page: Page, command: str) -> str | None:
    """The reason why a command is not run; None if it is."""
    return NOT_RUN.get(str(page.path.relative_to(ROOT)), {}).get(command.split(maxsplit=1)[0])


PAGES_TO_RUN = [
    page
    for page in ALL
    if page.path != NIGHTLY and (page.blocks("python") or any(not not_run(page, command) for command in page.commands))
]
IMAGES = 120  # of each label
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
    write_images(reader.home)
    for command in [command for command in page.commands if not not_run(page, command)]:
        done = reader.run(replacement(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    evaluation = next((reader.home / "gateline/artifacts/evaluate").iterdir()).name
    for program in page.blocks("python"):
        (reader.home / "program.py").write_text(program.replace("/KEY/", f"/{evaluation}/"), encoding="utf-8")
        done = reader.run("python program.py")
        assert done.returncode == 0, f"{program}\n{done.stderr}"


def write_images(home: Path) -> None:
    """The images that pages name: `colours/` and `photos/`, a folder for each label, and a table of them."""
    for folder in ("colours", "photos"):
        for label in ("red", "green"):
            (home / folder / label).mkdir(parents=True)
            for number in range(IMAGES):
                shade = {"red": (255 - number, number, 0), "green": (number, 255 - number, 0)}[label]
                image = Image.new("RGB", (16 + number % 3, 16), shade)
                image.save(home / folder / label / f"{number:04}.png")
    rows = [f"colours/{label}/{number:04}.png,{label}" for label in ("red", "green") for number in range(IMAGES)]
    (home / "labels.csv").write_text("\n".join(["file,species", *rows]) + "\n", encoding="utf-8")


def replacement(command: str) -> str:
    """The command, where it can run here; else one that makes what it needs, or shows what it would do."""
    if command.startswith("make "):
        return dry_make(command)
    if decision := re.search(r"pipeline (approve|reject) 7", command):
        run = {"approve": 2, "reject": 4}[decision[1]]  # the page decides about one run in two ways
        waiting = f"python -m pipeline run --profile sample --set train.seed={run} --set gates.paired.undecided=pass"
        return f"{waiting} --set push.approval=manual && {command.replace(' 7 ', f' {run} ')}"
    return f"{command} --dry-run" if "--profile mnist" in command else command


def test_the_commands_that_are_not_run_are_the_listed_ones():
    for name, reasons in NOT_RUN.items():
        first_words = {command.split(maxsplit=1)[0] for command in Page(ROOT / name).commands}
        assert set(reasons) <= first_words, name
    blocks = [(page, block) for page in ALL if page.path.parent.name != "reference" for block in page.blocks("text")]
    hidden = re.compile(r"^(python|gateline|make|docker|curl|openssl|cp|mkdir|export) ", re.MULTILINE)
    assert [str(page.path) for page, block in blocks if hidden.search(block)] == []
    machines = {"docker", "curl", "useradd", "cp", "export", "python3.11", "/opt/gateline/bin/pip", "python", "openssl"}
    assert {word.partition("=")[0] for reasons in NOT_RUN.values() for word in reasons} <= machines | {
        "KERASTUNER_TUNER_ID"
    }


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


def test_the_reference_lists_every_command_group_option_and_fact():
    pages = {
        name: (ROOT / f"docs/reference/{name}.md").read_text(encoding="utf-8") for name in ("commands", "artifacts")
    }
    sections = dict(re.findall(r"^## ([\w ]+)\n(.*?)(?=^## |\Z)", pages["commands"], re.MULTILINE | re.DOTALL))
    assert {"`--version`", "`--install-completion`"} <= set(re.findall("`--.*?`", sections["gateline"]))
    assert "`--cron <str>`" in sections["gateline schedule"]
    assert {"gateline run", "gateline schedule status", "gateline store gc"} <= set(sections)
    cells = [[cell.strip() for cell in line.split(" | ")] for line in pages["artifacts"].splitlines() if "| `" in line]
    assert len(cells) > 50
    assert [row for row in cells if len(row) != 3 or not row[2].strip("| ") or "schemas." in row[1]] == []


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
