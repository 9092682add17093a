"""The public Python API, as a notebook or a script uses it."""

import doctest
import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import gateline
from pipeline.store import Store
from tests.pipeline.finished_run import finish

ROOT = Path(__file__).parents[1]


def test_public_names_are_sorted_and_exist() -> None:
    assert gateline.__all__ == sorted(gateline.__all__)
    assert all(hasattr(gateline, name) for name in gateline.__all__)


def test_every_public_name_is_documented() -> None:
    public = [getattr(gateline, name) for name in gateline.__all__ if name not in ("Unkeyed",)]
    members = [v for n, v in vars(gateline.Run).items() if not n.startswith("_") and isinstance(v, property)]
    assert [item for item in public if not (item.__doc__ or "").strip()] == []
    assert len(members) > 8


def test_the_docstring_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = Store(tmp_path / "root").root
    finish(root)
    result = doctest.testmod(gateline, extraglobs={"root": root, "gateline": gateline})
    assert (result.failed, result.attempted > 5) == (0, True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'gateline' has no attribute 'Trainer'"):
        gateline.Trainer  # noqa: B018


def test_an_extension_can_import_the_module_while_the_configuration_is_imported() -> None:
    """An installed gate is imported by the configuration, which the functions of this module import."""
    program = "import sys, gateline; from gateline import Floor; print('pipeline.config' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"


def test_the_import_loads_no_heavy_library() -> None:
    heavy = "{'tensorflow', 'apache_beam', 'keras', 'numpy', 'pyarrow', 'matplotlib'}"
    program = f"import sys, gateline; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_the_api_is_typed_for_its_users(tmp_path: Path) -> None:
    """mypy, outside the repository, reads the types of the installed wheel."""
    source, site = tmp_path / "source", tmp_path / "venv"
    for name in ("pipeline", "components", "schemas"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("gateline.py", "setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    wheel = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *wheel], capture_output=True, check=True)
    venv.create(site)
    [packages] = site.glob("lib/python*/site-packages")
    [built] = tmp_path.glob("*.whl")
    zipfile.ZipFile(built).extractall(packages)
    (tmp_path / "notebook.py").write_text(
        "from gateline import Run, configure, plan, run\n"
        "steps = plan(configure('sample'))\nreveal_type(steps[0].name)\n"
        "evaluation = Run(1).evaluation\nif evaluation:\n    reveal_type(evaluation.gates()[0].passed)\n",
        encoding="utf-8",
    )
    mypy = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(tmp_path / "cache"),
        "--ignore-missing-imports",
    ]
    command = [*mypy, "--python-executable", str(site / "bin" / "python"), "notebook.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert 'Revealed type is "str"' in done.stdout.replace("builtins.", ""), done.stdout
    assert 'Revealed type is "bool"' in done.stdout.replace("builtins.", ""), done.stdout


def test_a_wrong_root_or_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(gateline.ConfigurationError, match="there is no store at "):
        gateline.runs(root=tmp_path)
    gateline.plan(gateline.configure("sample"), root=tmp_path)
    with pytest.raises(gateline.ConfigurationError, match=r"there is no run 99 in .*\n  List them with gateline.runs"):
        gateline.Run(99, root=tmp_path)


@pytest.mark.slow
def test_a_run_and_its_artifacts_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = gateline.configure("sample", sets=["train.epochs=2", "gates.accuracy=0.5", "gates.per_class=0.2"])
    assert {step.action for step in gateline.plan(config)} == {"run", "resolve", "wait"}
    run = gateline.run(config)
    assert (run.number, run.state, run.message) == (1, gateline.RunState.PUSHED, "")
    assert run.settings["train"]["epochs"] == 2
    assert [row["stage"] for row in run.stages][-1] == "push"
    assert run.evaluation and all(gate.passed for gate in run.evaluation.gates())
    table = run.evaluation.predictions()
    assert table.num_rows == 1000
    assert {"index", "label", "probabilities"} <= set(table.column_names)
    assert len(table.select(["index", "label"]).to_pandas()) == 1000
    assert run.model and len(run.model.history()) == 2
    assert run.statistics and set(run.statistics.by_split()) == {"train", "validation", "test"}
    assert run.examples and run.examples.splits["test"].count == 1000
    assert gateline.runs() == [run]
    assert {step.action for step in gateline.plan(config)} <= {"reuse", "resolve", "run", "wait"}

    with pytest.raises(gateline.Refused):
        gateline.run(gateline.configure("sample", sets=["train.epochs=2", "gates.accuracy=0.9999"]))
    refused = gateline.runs()[0]
    assert refused.state is gateline.RunState.REFUSED
    assert "gates.accuracy requires 0.9999" in refused.message
    assert refused.evaluation and not refused.evaluation.gates()[0].passed
    command = [sys.executable, "-m", "pipeline", "runs", "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert [row["state"] for row in rows] == [run.state for run in gateline.runs()]
