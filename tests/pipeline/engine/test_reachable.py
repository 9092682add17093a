"""Which stages run again after an edit: those that can reach the edited definition, and no others."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.engine.reachable import reachable

ROOT = Path(__file__).parents[3]
TRAINING = {"train", "search", "work"}

# (what is edited, file, old text, new text, the stages that run again). An empty old text appends.
EDITS = [
    ("text of an error class", "schemas/errors.py", "finished stages are kept", "nothing is lost", set()),
    ("docstring of an error class", "schemas/errors.py", '"""A gate refused the model."""', '"""Refused."""', set()),
    ("text of a raised error", "components/_training/training.py", "is not a finite number in", "is NaN in", set()),
    ("text of progress", "components/train.py", "resumed after epoch", "resumes after epoch", set()),
    ("comment", "components/_training/batches.py", "# steps that one call", "# the steps that one call", set()),
    ("docstring", "components/_training/batches.py", '"""Groups in an epoch."""', '"""Calls."""', set()),
    ("formatting", "components/models/mlp.py", "list[keras.layers.Layer] = [", "list[keras.layers.Layer] = [\n", set()),
    ("description of a setting", "schemas/settings/train.py", "passes over train", "number of epochs", set()),
    ("description of another setting", "schemas/gates/_protocol.py", "of the upper bounds", "of bounds", set()),
    ("an unused function", "components/_training/batches.py", "", "\n\ndef unused():\n    return 1\n", set()),
    ("a setting of no stage", "pipeline/notify/settings.py", "", "\n\nUNUSED = 1\n", set()),
    ("body of a helper, two modules away", "components/models/mlp.py", "Flatten()", 'Flatten(name="flat")', TRAINING),
    ("constant", "components/_training/batches.py", "GROUP = 64", "GROUP = 32", TRAINING),
    ("lambda", "components/_training/batches.py", "-size)", "size)", TRAINING),
    (
        "decorator",
        "components/_training/batches.py",
        "@cached_property\n    def group",
        "@property\n    def group",
        TRAINING,
    ),
    ("import inside a function", "components/_training/keras_defaults.py", "1e-7", "1e-6", TRAINING),
    ("effect of an import", "components/models/cnn.py", "", '\nprint("imported")\n', TRAINING),
    ("default of a setting", "schemas/settings/train.py", "Field(10, desc", "Field(11, desc", {"tune", *TRAINING}),
    ("default of another setting", "schemas/gates/paired.py", "0.0041", "0.005", {"evaluate"}),
    ("module loaded by its name", "components/_evaluation/tfma_metrics.py", "", "\n\nMORE = 1\n", {"evaluate"}),
    ("module run with -m", "components/_serving_check/clean_process.py", "", "\n\nMORE = 1\n", {"check_serving"}),
    (
        "module run with -m by a search",
        "components/_tuning/trials.py",
        "PAUSE = 0.05",
        "PAUSE = 0.1",
        {"search", "work"},
    ),
    (
        "artifact behind a package's re-export",
        "schemas/artifacts/training.py",
        "one_hot: bool",
        "one_hot: bool = False",
        {"transform", "tune", *TRAINING},
    ),
    ("base class of all artifacts", "schemas/artifacts/base.py", "path: Path\n", "path: Path | str\n", None),
]


def test_an_edit_reruns_exactly_the_stages_that_reach_it(tmp_path):
    for package in ("pipeline", "components", "schemas"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.gz"))
    stages = [
        (f"components.{path.stem}", path.stem)
        for path in sorted((tmp_path / "components").glob("*.py"))
        if "@component" in path.read_text(encoding="utf-8")
    ]
    all_stages = {name for _, name in stages}
    first, *results = digests(tmp_path, stages, [edit[1:4] for edit in EDITS])
    assert len(EDITS) >= 20
    for (description, *_, expected), result in zip(EDITS, results, strict=True):
        changed = {name for name in result if result[name] != first[name]}
        assert changed == (all_stages if expected is None else expected), description


def digests(tree: Path, stages: list[tuple[str, str]], edits: list[tuple[str, str, str]]) -> list[dict[str, str]]:
    command = [sys.executable, str(Path(__file__).with_name("keys_of_edits.py")), str(tree)]
    request = json.dumps({"stages": stages, "edits": edits})
    done = subprocess.run(command, input=request, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


TREE = {
    "own/__init__.py": "from own.inner import shown\nimport own.effects\n",
    "own/inner.py": "def shown():\n    return 1\n\n\ndef hidden():\n    return 2\n",
    "own/effects.py": "REGISTRY = {}\nREGISTRY['a'] = 1\n",
    "own/stars.py": "def starred():\n    return 3\n",
    "own/loaded.py": "def loaded():\n    return 4\n",
    "own/shapes/__init__.py": "",
    "own/shapes/round.py": "def kind():\n    return 12\n",
    "own/shapes/square.py": "def kind():\n    return 11\n",
    "own/kinds.py": "import enum\n\n\nclass Kind(enum.Enum):\n    ONE = 1\n\n\nclass Base:\n    size = 5\n",
    "own/plugins.py": "def one():\n    return 6\n",
    "own/chosen.py": (
        "def pick(name):\n    return globals()[name]()\n\n\ndef either():\n    return 7\n\n\nasync def later():\n"
        "    return 8\n"
    ),
    "own/stage.py": """
import dataclasses
import importlib
from own import shown, plugins
from own.kinds import Base, Kind
from own.stars import *
from own import chosen as selected
try:
    import fast_json as codec
except ImportError:
    codec = None


@dataclasses.dataclass
class Settings(Base):
    width: int = 9


def stage(run, settings=Settings()):
    def inner():
        return [shown() for kind in Kind]

    module = importlib.import_module("own.loaded")
    chosen = importlib.import_module(f"own.shapes.{'round' if module else 'square'}")
    return inner(), starred(), module.loaded(), getattr(plugins, "one")(), selected.pick("either"), chosen.kind()


def other():
    return 10
""",
}
CHANGES = [
    ("a function behind a package", "own/inner.py", "return 1", "return -1", True),
    ("an unused function", "own/inner.py", "return 2", "return -2", False),
    ("a mapping filled on import", "own/effects.py", "['a'] = 1", "['a'] = 2", True),
    ("a star import", "own/stars.py", "return 3", "return -3", True),
    ("a module imported by name", "own/loaded.py", "return 4", "return -4", True),
    ("a module with a computed name", "own/shapes/square.py", "return 11", "return -11", True),
    ("an enum member", "own/kinds.py", "ONE = 1", "ONE = 2", True),
    ("a base class", "own/kinds.py", "size = 5", "size = 6", True),
    ("a module passed around as a value", "own/plugins.py", "return 6", "return -6", True),
    ("a function chosen from globals()", "own/chosen.py", "return 7", "return -7", True),
    ("a default of a dataclass", "own/stage.py", "width: int = 9", "width: int = 10", True),
    ("an alternative import", "own/stage.py", "codec = None", "codec = 0", True),
    ("a nested function", "own/stage.py", "for kind in Kind]", "for kind in list(Kind)]", True),
    ("another function of the module", "own/stage.py", "return 10", "return -10", True),  # importlib: all of the module
]


def test_dynamically_loaded_code_is_included_completely(tmp_path):
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    first, *results = digests(tmp_path, [("own.stage", "stage")], [change[1:4] for change in CHANGES])
    for (description, *_, expected), result in zip(CHANGES, results, strict=True):
        assert (result != first) == expected, description


def test_the_code_of_a_stage_lists_modules_and_libraries():
    code, libraries = reachable(("components.train", "train"))
    assert {"components.train", "components.models.mlp", "schemas.settings.train"} <= set(code)
    assert {"keras", "tensorflow"} <= libraries
    assert "schemas.settings.gates" not in code


@pytest.mark.parametrize("name", ["missing", "train"])
def test_an_undefined_name_reaches_no_code_and_raises_no_error(name):
    code, _ = reachable(("components.train", name))
    assert "components.train" in code or name == "missing"
