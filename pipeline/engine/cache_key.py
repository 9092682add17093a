"""What a stage's output depends on, and so its cache key: code, settings, inputs and library versions.

recipe = Recipe.of(node, {"examples": examples})
recipe.key                     # "3f9a0c..."
recipe.differences(older)      # ["epochs changed from 5 to 10"]
"""

import ast
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.engine.component import Node
from schemas.artifacts import Artifact

_OURS = ("components", "schemas")
# where the import's name is not the distribution's
_DISTRIBUTIONS = {"google": "protobuf", "grpc": "grpcio", "tensorflow_serving": "tensorflow-serving-api"}
_SHAPELESS = {"etils", "pydantic"}  # they hand values on and shape no output


@dataclass(frozen=True)
class Recipe:
    """The ingredients, as JSON values: `code` by module, `settings`, `inputs` by digest, `versions` by distribution."""

    stage: str
    ingredients: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, node: Node, inputs: dict[str, Artifact | None]) -> "Recipe":
        code, versions = _code(node.component.function.__module__)
        settings = {k: plain(v) for k, v in node.settings.items() if node.component.is_keyed(k)}
        digests = {name: artifact.digest if artifact else None for name, artifact in inputs.items()}
        return cls(node.name, {"code": code, "settings": settings, "inputs": digests, "versions": versions})

    @property
    def key(self) -> str:
        text = json.dumps([self.stage, self.ingredients], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, older: dict[str, dict[str, Any]]) -> list[str]:
        """What changed since another recipe of this stage, in words."""
        found = []
        for what, now in self.ingredients.items():
            before, after = _flat(older.get(what, {})), _flat(now)
            for name in sorted(before.keys() | after.keys()):
                if (b := before.get(name)) != (a := after.get(name)):
                    found.append(_changed(what, name, b, a))
        return found


def _changed(what: str, name: str, before: Any, after: Any) -> str:
    if what == "code":
        return f"{name} was edited"
    if what == "inputs":
        return f"{name} changed" if before and after else f"{name} {'is new' if after else 'is gone'}"
    short = [str(v) if len(str(v)) < 40 else "..." for v in (before, after)]
    return f"{name} changed" + ("" if "..." in short else f" from {short[0]} to {short[1]}")


def plain(value: Any) -> Any:
    """A setting as JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude={"data_dir", "manual_dir"})  # where data lies is not what it is
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        k: v for name, each in value.items() for k, v in _flat(each, f"{prefix}.{name}" if prefix else name).items()
    }


@functools.cache
def _code(module: str) -> tuple[dict[str, str], dict[str, str]]:
    """(digest by module, version by distribution) of `module` and all that it imports of ours.

    Comments, formatting and docstrings do not count: the digest is over the syntax tree.
    """
    digests: dict[str, str] = {}
    libraries: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in digests:
            continue
        digests[name], imports = _read(name)
        for imported in imports:
            top = imported.split(".")[0]
            if top in _OURS:
                waiting.extend(
                    each for each in (imported, imported.rpartition(".")[0]) if "." in each and _is_module(each)
                )
            elif top not in sys.stdlib_module_names and top not in _SHAPELESS and top != "pipeline":
                libraries.add(_DISTRIBUTIONS.get(top, top))
    return dict(sorted(digests.items())), {name: importlib.metadata.version(name) for name in sorted(libraries)}


@functools.cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """(digest of its code, what it imports)."""
    imports: list[str] = []
    tree = _form(ast.parse(_source(module).read_text()), imports)
    return hashlib.sha256(repr(tree).encode()).hexdigest()[:16], tuple(imports)


def _form(node: Any, imports: list[str]) -> Any:
    """A syntax tree as lists, without docstrings; what it imports goes to `imports`.

    One walk for all: with `ast.walk` and `ast.dump` it took a fifth of a run that finds nothing changed.
    """
    if isinstance(node, list):
        return [_form(each, imports) for each in node]
    if not isinstance(node, ast.AST):
        return node
    if isinstance(node, ast.Import):
        imports += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        imports += [f"{node.module}.{alias.name}" for alias in node.names]
    elif (
        isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and ast.get_docstring(node, clean=False) is not None
    ):
        del node.body[0]
    found = [type(node).__name__]
    for field in node._fields:
        value = getattr(node, field, None)
        if field != "ctx" and value is not None and value != []:  # what is empty differs between Python's versions
            found += (field, _form(value, imports))
    return found


@functools.cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # `name` is a class or function of a module
        return False


def _source(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec and spec.origin, name
    return Path(spec.origin)
