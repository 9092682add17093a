"""The definitions of a module, read from its source: a digest of each, without user-facing texts, and what it uses.

module = read("components.train")
module.bindings["train"][0].digest     # of the function's syntax tree
module.bindings["train"][0].uses       # its names, imports and names of modules
"""

import ast
import builtins
import functools
import hashlib
import importlib.util
import sys
import sysconfig
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engine import parsed
from pipeline.engine.syntax import Form, Uses, add_import, without_docstring

_LIBRARIES = tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("purelib", "platlib", "stdlib"))


@dataclass(frozen=True)
class Statement:
    """A top-level statement: a digest of its syntax tree, what it uses, and the names that it binds."""

    digest: str
    uses: Uses
    binds: frozenset[str]

    def as_json(self) -> dict[str, Any]:
        return {"digest": self.digest, "uses": self.uses.as_json(), "binds": sorted(self.binds)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Statement":
        return cls(values["digest"], Uses.from_json(values["uses"]), frozenset(values["binds"]))


@dataclass(frozen=True)
class Module:
    """A module: statements by the names that they bind, its imports, and the statements that an import executes."""

    bindings: dict[str, list[Statement]]
    imports: Uses
    effects: list[Statement]
    errors: set[str]  # the classes that are exceptions
    bases: dict[tuple[str, str], bool]  # base classes from other modules of the project: whether they are exceptions

    def as_json(self) -> dict[str, Any]:
        return {
            "bindings": {name: [each.as_json() for each in bound] for name, bound in self.bindings.items()},
            "imports": self.imports.as_json(),
            "effects": [each.as_json() for each in self.effects],
            "errors": sorted(self.errors),
            "bases": [[*base, is_error] for base, is_error in self.bases.items()],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Module":
        return cls(
            {name: list(map(Statement.from_json, bound)) for name, bound in values["bindings"].items()},
            Uses.from_json(values["imports"]),
            list(map(Statement.from_json, values["effects"])),
            set(values["errors"]),
            {(module, name): is_error for module, name, is_error in values["bases"]},
        )

    @property
    def statements(self) -> list[Statement]:
        return [*self.effects, *(each for bound in self.bindings.values() for each in bound)]


@functools.cache
def location(module: str) -> Path | None:
    """The source file of a module, found without importing it; None if there is none."""
    top, *rest = module.split(".")
    for folder in _folders(top):
        path = folder.joinpath(*rest)
        for file in (path / "__init__.py", path.with_name(path.name + ".py")):
            if file.is_file():
                return file
    return None


@functools.cache
def submodules(package: str) -> tuple[str, ...]:
    """The modules directly in a package. Empty if it is not a package."""
    init = location(package)
    if init is None or init.name != "__init__.py":
        return ()
    names = {path.stem for path in init.parent.glob("*.py")}
    names |= {path.parent.name for path in init.parent.glob("*/__init__.py")}
    return tuple(f"{package}.{name}" for name in sorted(names - {"__init__"}))


def is_project(module: str) -> bool:
    """True for source code of gateline or the user, False for installed libraries and the standard library."""
    top = module.partition(".")[0]
    return top in ("components", "schemas", "pipeline") or (bool(_folders(top)) and not _is_library(top))


@functools.cache
def _folders(top: str) -> tuple[Path, ...]:
    """The folders of a top-level package. For a module, its path without the suffix."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return ()
    if spec is None:
        return ()
    if spec.submodule_search_locations:
        return tuple(map(Path, spec.submodule_search_locations))
    return (Path(spec.origin).with_suffix(""),) if spec.origin and spec.origin.endswith(".py") else ()


@functools.cache
def _is_library(top: str) -> bool:
    if top in sys.stdlib_module_names:
        return True
    return any(str(folder.resolve()).startswith(_LIBRARIES) or "-packages" in str(folder) for folder in _folders(top))


@functools.cache
def read(module: str) -> Module:
    """The definitions of a module.

    Raises:
        ModuleNotFoundError: the module has no source file.
    """
    path = location(module)
    if path is None:
        raise ModuleNotFoundError(f"no source of {module}")
    source = path.read_bytes()
    key = parsed.key(module, source)
    if values := parsed.load(path, key):
        stored = Module.from_json(values)
        if all(_is_error_class(*base) is known for base, known in stored.bases.items()):
            return stored
    result = _parse(module, path, source)
    parsed.save(path, key, result.as_json())
    return result


_PARSER = threading.Lock()  # two threads that parse at the same time can crash Python 3.11


def _parse(module: str, path: Path, source: bytes) -> Module:
    with _PARSER:
        tree = ast.parse(source)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    bindings: dict[str, list[Statement]] = {}
    imports, effects, errors = Uses(), list[Statement](), set[str]()
    bases: dict[tuple[str, str], bool] = {}
    for node in without_docstring(tree.body):
        if _only_imports(node):
            for each in ast.walk(node):
                if isinstance(each, ast.Import | ast.ImportFrom):
                    add_import(each, imports, package)
            continue
        if isinstance(node, ast.ClassDef) and any(_is_error(base, imports, errors, bases) for base in node.bases):
            errors.add(node.name)
        statement = _statement(node, package, errors)
        for name in statement.binds:
            bindings.setdefault(name, []).append(statement)
        if not statement.binds or not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign):
            effects.append(statement)
    return Module(bindings, imports, effects, errors, bases)


def _only_imports(node: ast.stmt) -> bool:
    """True for an import, and for imports under TYPE_CHECKING or in `with lazy_imports()`."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return all(map(_only_imports, node.body)) and not node.orelse
    if isinstance(node, ast.With):
        return "lazy_imports" in ast.dump(node.items[0]) and all(map(_only_imports, node.body))
    return isinstance(node, ast.Import | ast.ImportFrom)


def _is_error(base: ast.expr, imports: Uses, known: set[str], bases: dict[tuple[str, str], bool]) -> bool:
    name = base.id if isinstance(base, ast.Name) else ""
    if module := imports.imports.get(name, ("", ""))[0]:
        bases[module, name] = _is_error_class(module, name)
        return bases[module, name]
    builtin = getattr(builtins, name, None)
    return name in known or (isinstance(builtin, type) and issubclass(builtin, BaseException))


def _is_error_class(module: str, name: str) -> bool:
    return is_project(module) and location(module) is not None and name in read(module).errors


def _statement(node: ast.stmt, package: str, errors: set[str]) -> Statement:
    form = Form(package, errors)
    tree = form.of(node)
    digest = hashlib.sha256(repr(tree).encode()).hexdigest()[:16]
    return Statement(digest, form.uses, frozenset(_bound(node)))


def _bound(node: ast.stmt) -> set[str]:
    """The names that a statement binds in its module."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    names: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            names.add(each.id)
        elif isinstance(each, ast.FunctionDef | ast.ClassDef):
            names.add(each.name)
    return names
