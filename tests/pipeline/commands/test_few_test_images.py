"""Too few test images for a gate: `init`, `run --dry-run` and validate say so, in the same words."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.components import pictures
from tests.components.image_files import image_folder
from tests.pipeline.command_line import gateline

ABSENT = (
    "gates.per_class will refuse every model: no test images of 1 of 4 classes: 3 (violet). "
    "Add test images of it, or declare classes that never occur unused in colours.pbtxt"
)
POWERLESS = (
    "gates.per_class accepts any model on 1 of 4 classes: at 95% confidence for 3 slices together, a floor of 0.4 "
    "refuses nothing on fewer than 9 test images: 0 (blue): 4. "
    "Add test images, at least 9 of each, raise the floor to 0.65, or remove the gate"
)
FEW = (
    "gates.per_class cannot judge 1 of 4 classes with fewer than 20 test images (gates.min_examples): 0 (blue): 4. "
    "Add test images, at least 20 of each, or remove the gate"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four classes. The test split has 4 images of one and none of another."""
    folder = tmp_path_factory.mktemp("project")
    for split, sizes in {"train": (60, 60, 60, 60), "test": (4, 30, 30, 0)}.items():
        labels = np.repeat(np.arange(4), sizes)
        images = np.random.default_rng(len(split)).integers(0, 256, (len(labels), *pictures.SHAPE), np.uint8)
        image_folder(folder / "colours" / split, images, labels, ["blue", "green", "red", "violet"])
    return folder


@pytest.fixture(scope="module")
def drafted(project: Path) -> str:
    """The output of `init`."""
    done = gateline("init", "colours", cwd=project)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_init_says_it(drafted: str) -> None:
    lines = [line.strip() for line in drafted.splitlines()]
    assert [line for line in lines if line.startswith("gates.per_class")] == [ABSENT, POWERLESS]


def test_a_dry_run_says_it(project: Path, drafted: str) -> None:
    done = gateline("run", "--dry-run", cwd=project)
    assert [line for line in done.stdout.splitlines() if line.startswith("warning")] == [
        f"warning: {ABSENT}",
        f"warning: {POWERLESS}",
    ]
    done = gateline("run", "--dry-run", "--json", "--set", "gates.min_examples=20", cwd=project)
    assert {row["stage"]: row["warnings"] for row in json.loads(done.stdout) if "warnings" in row} == {
        "evaluate": [ABSENT, FEW]
    }


def test_a_dry_run_of_a_part_without_gates_says_nothing(project: Path, drafted: str) -> None:
    assert "warning" not in gateline("run", "--dry-run", "--until", "train", cwd=project).stdout


def test_a_dry_run_before_the_data_is_described_says_that_it_is_unknown(project: Path, drafted: str) -> None:
    done = gateline("run", "--dry-run", "--root", "empty", cwd=project)
    assert "Whether there are enough test images for the gates is known once the data is described." in done.stdout


def test_validate_says_it(project: Path, drafted: str) -> None:
    done = gateline("run", "--until", "validate", "--set", "validate.skew=warning", cwd=project)
    assert done.returncode == 0, done.stderr
    warnings = [line.partition("warning: ")[2] for line in (done.stdout + done.stderr).splitlines()]
    assert [line for line in warnings if "gates." in line] == [f"test: {ABSENT}", f"test: {POWERLESS}"]
