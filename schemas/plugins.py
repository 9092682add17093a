"""The kinds of an extension point: built-in modules, one kind each, and those that installed packages register.

kinds("schemas.gates", "gateline.gates")["accuracy"]   # the class that `KIND` of schemas/gates/accuracy.py names
"""

import functools
import importlib
import importlib.metadata
import pkgutil
from typing import Any

from schemas.errors import ConfigurationError


@functools.cache
def kinds(package: str, group: str) -> dict[str, Any]:
    """`KIND` of each module by the module's name, in alphabetical order; then those of the entry points `group`.

    Modules whose name begins with _ are ignored. An installed package cannot replace a built-in kind.

    Raises:
        ConfigurationError: an installed package cannot be loaded.
    """
    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    built_in = {
        m.name: importlib.import_module(f"{package}.{m.name}").KIND for m in modules if not m.name.startswith("_")
    }
    points = importlib.metadata.entry_points(group=group)
    return built_in | {point.name: _loaded(point, group) for point in points if point.name not in built_in}


def _loaded(point: importlib.metadata.EntryPoint, group: str) -> Any:
    try:
        return point.load().KIND
    except Exception as error:
        kind = group.rpartition(".")[2].rstrip("s")
        cause = f"{kind} {point.name} of {point.value} cannot be loaded: {type(error).__name__}: {error}"
        raise ConfigurationError(cause, "Fix or uninstall the package that registers it.") from error
