"""The claims of SECURITY.md about the code as a whole. Most other claims are tested next to the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import load
from schemas.errors import ConfigurationError

ROOT = Path(__file__).parents[1]
SOURCES = [path for package in ("pipeline", "components", "schemas") for path in sorted((ROOT / package).rglob("*.py"))]
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "h5py"}
UNSAFE_CALLS = {
    "load_model",
    "load_weights",
    "unsafe_load",
    "full_load",
    "eval",
    "exec",
    "system",
    "enable_unsafe_deserialization",
}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", "")), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_product_code_unpickles_nothing_and_starts_no_shell(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in imported} & UNSAFE_MODULES
    for name, call in calls(tree):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert name not in UNSAFE_CALLS, ast.unparse(call)
        assert keywords.get("allow_pickle") != "True", ast.unparse(call)
        assert keywords.get("shell") != "True", ast.unparse(call)
        assert keywords.get("safe_mode") != "False", ast.unparse(call)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "!!python/name:os.system"])
def test_a_configuration_creates_no_python_objects(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"source: {{tfds: {text}}}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"config\.yaml"):
        load(file=file)


@pytest.mark.parametrize("name", ["../up", "/tmp", ".hidden", "a/b", ".."])
def test_a_model_name_outside_the_serving_directory_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"push\.model"):
        load(profile="sample", sets=[f"push.model={name}"])
