"""What SECURITY.md says of the code as a whole. Most of its lines are tested where the code is."""

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
def test_nothing_is_unpickled_and_no_shell_is_asked(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in imported} & UNSAFE_MODULES
    for name, call in calls(tree):
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert name not in UNSAFE_CALLS, ast.unparse(call)
        assert given.get("allow_pickle") != "True", ast.unparse(call)
        assert given.get("shell") != "True", ast.unparse(call)
        assert given.get("safe_mode") != "False", ast.unparse(call)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "!!python/name:os.system"])
def test_a_configuration_makes_no_objects(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"source: {{tfds: {text}}}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"config\.yaml"):
        load(file=file)


@pytest.mark.parametrize("name", ["../up", "/tmp", ".hidden", "a/b", ".."])
def test_a_models_name_does_not_lead_out_of_the_serving_directory(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"push\.model"):
        load(profile="sample", sets=[f"push.model={name}"])
