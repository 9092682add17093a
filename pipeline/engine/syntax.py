"""The form of a syntax tree in a cache key, and the names that the tree uses.

form = Form("components")
form.of(ast.parse("x = f(1)").body[0])   # nested lists: no comments, no formatting
form.uses.chains                         # {("x",), ("f",)}

It excludes docstrings, descriptions of settings, and the texts of errors and progress.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\.")  # "own.kinds.", before the name of a module
_DYNAMIC = {"globals", "locals", "vars", "eval", "exec", "__import__", "import_module"}
_DOCUMENTATION = {"description", "title", "examples"}  # arguments of pydantic's Field


@dataclass
class Uses:
    """The names and modules that a statement refers to."""

    chains: set[tuple[str, ...]] = field(default_factory=set)  # ("json", "dumps") for json.dumps; ("x",) for a bare x
    imports: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # name: (module, name in it, or "" for the module)
    stars: set[str] = field(default_factory=set)  # modules imported with *
    modules: set[str] = field(default_factory=set)  # dotted names in strings
    packages: set[str] = field(default_factory=set)  # dotted names in strings that end with a dot
    dynamic: bool = False

    def as_json(self) -> dict[str, Any]:
        sets = {name: sorted(getattr(self, name)) for name in ("stars", "modules", "packages")}
        return {"chains": sorted(self.chains), "imports": self.imports, "dynamic": self.dynamic} | sets

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Uses":
        imports = {bound: (module, name) for bound, (module, name) in values["imports"].items()}
        stars, modules, packages = (set(values[name]) for name in ("stars", "modules", "packages"))
        return cls(set(map(tuple, values["chains"])), imports, stars, modules, packages, values["dynamic"])


def add_import(node: ast.Import | ast.ImportFrom, uses: Uses, package: str) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            whole = alias.name if alias.asname else alias.name.partition(".")[0]
            uses.imports[alias.asname or whole] = (whole, "")
            uses.modules.add(alias.name)
        return
    base = node.module or ""
    if node.level:
        parts = package.split(".")
        base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
    for alias in node.names:
        if alias.name == "*":
            uses.stars.add(base)
        else:
            uses.imports[alias.asname or alias.name] = (base, alias.name)


class Form:
    """Converts syntax trees to lists, and collects what they use, in one walk."""

    def __init__(self, package: str, errors: set[str]) -> None:
        self.package, self.errors, self.uses = package, errors, Uses()
        self._messages: set[str] | None = None  # in a function: variables that only hold user-facing texts
        self._special: dict[type[ast.AST], Callable[[Any, bool], Any]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.Attribute: self._attribute,
            ast.Import: self._import,
            ast.ImportFrom: self._import,
            ast.Raise: self._raise,
            ast.Call: self._call,
            ast.Assign: self._assign,
            ast.FunctionDef: self._function_def,
            ast.AsyncFunctionDef: self._function_def,
            ast.ClassDef: self._class_def,
        }

    def of(self, node: Any, message: bool = False) -> Any:
        if isinstance(node, list):
            return [self.of(each, message) for each in node]
        if not isinstance(node, ast.AST):
            return node
        special = self._special.get(type(node), self._plain)
        return special(node, message)

    def _plain(self, node: ast.AST, message: bool) -> list[Any]:
        form: list[Any] = [type(node).__name__]
        for name in node._fields:
            value = getattr(node, name, None)
            # The set of empty fields depends on the version of Python.
            if value is not None and value != [] and name != "ctx":
                form += (name, value) if isinstance(value, str) else (name, self.of(value, message))
        return form

    def _constant(self, node: ast.Constant, message: bool) -> Any:
        if isinstance(node.value, str):
            if _DOTTED.fullmatch(node.value):
                self.uses.modules.add(node.value)
            elif _PACKAGE.fullmatch(node.value):
                self.uses.packages.add(node.value.rstrip("."))
            if message:
                return "text"
        return ["Constant", node.value, type(node.value).__name__]

    def _name(self, node: ast.Name, message: bool) -> Any:
        self.uses.chains.add((node.id,))
        self.uses.dynamic |= node.id in _DYNAMIC
        return ["Name", node.id]

    def _attribute(self, node: ast.Attribute, message: bool) -> Any:
        names, root = [node.attr], node.value
        while isinstance(root, ast.Attribute):
            names.append(root.attr)
            root = root.value
        self.uses.dynamic |= bool(_DYNAMIC & set(names))
        if not isinstance(root, ast.Name):
            return ["Attribute", self.of(node.value, message), node.attr]
        self.uses.chains.add((root.id, *reversed(names)))
        return ["Attribute", root.id, *reversed(names)]

    def _import(self, node: ast.Import, message: bool) -> Any:
        add_import(node, self.uses, self.package)
        return self._plain(node, message)

    def _raise(self, node: ast.Raise, message: bool) -> Any:
        return self._plain(node, True)

    def _call(self, node: ast.Call, message: bool) -> Any:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        keywords = [each for each in node.keywords if name != "Field" or each.arg not in _DOCUMENTATION]
        message = message or _is_progress(node)
        return ["Call", self.of(node.func), self.of(node.args, message), self.of(keywords, message)]

    def _assign(self, node: ast.Assign, message: bool) -> Any:
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        return self._plain(node, message or (bool(names) and names <= (self._messages or set())))

    def _function_def(self, node: ast.FunctionDef, message: bool) -> Any:
        if self._messages is not None:  # a nested function: its variables were handled with those of the outer one
            return self._definition(node)
        self._messages = _Reads(node).messages()
        form = self._definition(node)
        self._messages = None
        return form

    def _class_def(self, node: ast.ClassDef, message: bool) -> Any:
        return self._definition(node, message=node.name in self.errors)

    def _definition(self, node: Any, *, message: bool = False) -> Any:
        body = without_docstring(node.body)
        fields = [name for name in node._fields if name not in ("body", "type_comment")]
        rest = [self.of(getattr(node, name), message) for name in fields]
        return [type(node).__name__, *(each for each in rest if each != []), self.of(body, message)]


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


def _is_progress(node: ast.AST) -> bool:
    """True for `run.log(...)`."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "log"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "run"
    )


class _Reads(dict[str, set[Any]]):
    """Where a function reads each variable: True in a message, names in an assignment to them, False elsewhere."""

    def __init__(self, function: ast.AST) -> None:
        super().__init__()
        self.assigned: set[str] = set()  # bound by plain assignments
        self.not_plain: set[str] = set()  # bound in another way, or not local
        self._visit(function, False)

    def messages(self) -> set[str]:
        """The variables that are read only where an error is raised or progress is reported: they hold messages."""
        names = {name for name in self.assigned - self.not_plain if False not in self.get(name, ())}
        while rejected := {
            name for name in names for where in self.get(name, ()) if where is not True and not where <= names
        }:
            names -= rejected
        return names

    def _visit(self, node: Any, where: Any) -> None:
        kind = type(node)
        if kind is ast.Name:
            if type(node.ctx) is ast.Load:
                self.setdefault(node.id, set()).add(where)
            else:
                self.not_plain.add(node.id)
            return
        if kind is ast.Assign and all(type(target) is ast.Name for target in node.targets):
            targets = frozenset(target.id for target in node.targets)
            self.assigned |= targets
            self._visit(node.value, where or targets)
            return
        if kind is ast.Global or kind is ast.Nonlocal:
            self.not_plain.update(node.names)
        elif kind is ast.arg:
            self.not_plain.add(node.arg)
        elif kind is ast.Raise or (kind is ast.Call and _is_progress(node)):
            where = True
        for name in node._fields:
            value = getattr(node, name, None)
            if type(value) is list:
                for each in value:
                    if isinstance(each, ast.AST):
                        self._visit(each, where)
            elif isinstance(value, ast.AST):
                self._visit(value, where)
