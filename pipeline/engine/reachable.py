"""The code that a function can reach: its definition, what that uses, and so on across modules.

code, libraries = reachable(("components.train", "train"))
code       # {"components._training.batches": "3f9a...", ...}: a digest of the reached definitions of each module
libraries  # {"keras", "tensorflow", ...}: top-level names of what the reached definitions import

When in doubt, more is included: all of a class, all of a module that is passed around as a value or named in a string,
all of a module with dynamic code, and every statement that importing a reached module executes.
"""

import functools
import hashlib
import sys
from collections.abc import Iterator

from pipeline.engine.definitions import Module, Statement, is_project, location, read, submodules
from pipeline.engine.syntax import Uses

Target = tuple[str, str]  # a module and a name in it; "" for the statements that importing it executes, "*" for all
_ENGINE = ("pipeline.engine", "pipeline.lineage", "pipeline.store", "gateline")  # call stages but do not change results


@functools.cache
def reachable(*targets: Target) -> tuple[dict[str, str], frozenset[str]]:
    """(digest by module, top-level names of imported libraries) of all that the targets can reach."""
    pending = list(targets)
    done: set[Target] = set()
    reached: dict[str, set[str]] = {}
    libraries: set[str] = set()
    while pending:
        target = pending.pop()
        if target in done:
            continue
        done.add(target)
        if not is_project(target[0]):
            libraries.add(target[0].partition(".")[0])
        elif not target[0].startswith(_ENGINE) and location(target[0]):
            for statement in _statements(*target):
                reached.setdefault(target[0], set()).add(statement.digest)
            pending += _successors(*target)
    code = {
        name: hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()[:16] for name, digests in reached.items()
    }
    stdlib = {name for name in libraries if name in sys.stdlib_module_names}
    return dict(sorted(code.items())), frozenset(libraries - stdlib)


def _statements(module: str, name: str) -> list[Statement]:
    source = read(module)
    if name == "*":
        return source.statements
    return source.bindings.get(name, []) if name else source.effects


@functools.cache
def _successors(module: str, name: str) -> tuple[Target, ...]:
    """The targets that a target reaches directly."""
    source = read(module)
    successors = [*_targets_imported(module, source)] if name == "" else [(module, "")]
    if name == "*":
        successors += [target for imported in source.imports.imports.values() for target in _resolve(*imported, ())]
    if name in source.imports.imports:
        successors += _resolve(*source.imports.imports[name], ())
    elif name not in ("", "*") and name not in source.bindings:
        successors += [(star, "*") for star in source.imports.stars]
        successors += [(f"{module}.{name}", "*")] if location(f"{module}.{name}") else []
        successors += [(module, "*")] if "__getattr__" in source.bindings else []
    for statement in _statements(module, name):
        successors += _targets_used(statement.uses, module, source)
    return tuple(successors)


def _targets_imported(module: str, source: Module) -> Iterator[Target]:
    """The targets that importing a module executes: its packages, imported modules, and libraries that no name uses."""
    if package := module.rpartition(".")[0]:
        yield (package, "")
    yield from ((imported, "") for imported in source.imports.modules if is_project(imported))
    used = {chain[0] for statement in source.statements for chain in statement.uses.chains}
    for bound, (imported, name) in source.imports.imports.items():
        if is_project(imported):
            yield (imported, "")
            if name and location(f"{imported}.{name}"):
                yield (f"{imported}.{name}", "")
        elif bound not in used:
            yield (imported, "")
    yield from ((star, "*" if is_project(star) else "") for star in source.imports.stars)


def _targets_used(uses: Uses, module: str, source: Module) -> Iterator[Target]:
    """The targets that a statement in `module` uses."""
    for chain in uses.chains:
        root, *attributes = chain
        if imported := uses.imports.get(root) or source.imports.imports.get(root):
            yield from _resolve(*imported, tuple(attributes))
        if root in source.bindings:
            yield (module, root)
    yield from ((star, "*" if is_project(star) else "") for star in uses.stars)
    yield from ((named, "*") for named in uses.modules if is_project(named) and location(named))
    for package in filter(is_project, uses.packages):
        yield from ((each, "*") for each in submodules(package))
    if uses.dynamic:
        yield (module, "*")


def _resolve(module: str, name: str, attributes: tuple[str, ...]) -> Iterator[Target]:
    """The definition that an import with a chain of attributes refers to."""
    if not is_project(module):
        yield (module, "")
        return
    if name:
        if location(f"{module}.{name}") and name not in read(module).bindings:
            module = f"{module}.{name}"
        else:
            yield (module, name)
            return
    while attributes and location(f"{module}.{attributes[0]}") and attributes[0] not in read(module).bindings:
        module, attributes = f"{module}.{attributes[0]}", attributes[1:]
    yield (module, attributes[0] if attributes else "*")
