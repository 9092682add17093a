"""The rules that keep the code in shape: who imports whom, what stays light, and how long a thing may be."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.component import Component

ROOT = Path(__file__).parents[1]
OURS = ("pipeline", "components", "schemas")
HEAVY = ("tensorflow", "apache_beam", "keras", "tensorflow_model_analysis", "tensorflow_transform", "numpy", "pyarrow", "matplotlib")
# what a stage may use of the pipeline
LENT = ("pipeline.component", "pipeline.files", "pipeline.serving", "pipeline.signing", "pipeline.watch")


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def imports(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, wherever the import stands; `from package import module` is the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if (ROOT / inner.replace(".", "/")).with_suffix(".py").exists() else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] in OURS}


def is_shared(name: str) -> bool:
    """A helper among the components: not a stage."""
    part = name.removeprefix("components.").split(".")[0]
    return name.startswith("components.") and (part.startswith("_") or part in ("models", "mnist_sample"))


STAGES = [p for p in sources("components") if p.parent.name == "components" and p.stem != "models" and not p.stem.startswith("_")]


@pytest.mark.parametrize("path", sources("components"), ids=lambda path: path.stem)
def test_components_import_schemas_helpers_and_what_they_are_lent(path: Path) -> None:
    strangers = {name for name in ours(path) if not (name.startswith("schemas.") or name in LENT or is_shared(name))}
    assert not strangers


@pytest.mark.parametrize("path", [p for p in sources("components") if p not in STAGES], ids=lambda p: p.stem)
def test_helpers_do_not_know_the_stages_or_the_runner(path: Path) -> None:
    assert not {name for name in ours(path) if name.startswith("pipeline")}


@pytest.mark.parametrize("path", sources("schemas"), ids=lambda path: path.stem)
def test_schemas_import_neither_pipeline_nor_components(path: Path) -> None:
    assert all(name.startswith("schemas") for name in ours(path))


def test_only_the_dag_and_the_draft_know_the_stages() -> None:
    stages = lambda path: {name for name in ours(path) if name.startswith("components") and not is_shared(name)}  # noqa: E731
    knowing = {path.stem for path in sources("pipeline") if stages(path)}
    assert knowing == {"dag", "draft"}


def test_the_command_line_the_plan_and_the_stages_import_nothing_heavy() -> None:
    modules = ["pipeline.cli", "pipeline.session", "pipeline.dag", *(f"components.{path.stem}" for path in STAGES)]
    program = f"import sys, {', '.join(modules)}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_plan_of_the_real_line_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\nfrom pipeline.config import load\nfrom pipeline.session import Session\n"
        "root = pathlib.Path(sys.argv[1])\nsteps = Session(root, root / 'serving').plan(load(profile='mnist'))\n"
        f"print(len(steps) > 8, [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("True []\n", "")


def test_the_folders_at_the_top_are_these_five() -> None:
    tracked = subprocess.run(["git", "ls-files", "--cached"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    folders = {line.split("/")[0] for line in tracked.splitlines() if "/" in line}
    assert {folder for folder in folders if not folder.startswith(".")} <= {"pipeline", "components", "schemas", "tests", "deploy"}
    assert all((ROOT / folder).is_dir() for folder in ("pipeline", "components", "schemas", "tests", "deploy"))


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_every_stage_file_has_a_component_of_its_own_name(path: Path) -> None:
    # served: resolvers that ask the same question
    names = {"served_data", "served_spans", "start", "baseline", "best"} if path.stem == "served" else {path.stem}
    module = importlib.import_module(f"components.{path.stem}")
    found = {name for name, value in vars(module).items() if isinstance(value, Component)}
    assert found == names
    for name in names:
        stage = getattr(module, name)
        assert stage.name == name
        assert stage.function.__module__ == module.__name__
        assert len(stage.function.__doc__ or "") > 20


@pytest.mark.parametrize("path", [p for package in OURS for p in sources(package)], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short_and_every_module_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 300
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno - f.lineno + 1 > 60} == {}
    assert ast.get_docstring(tree)
