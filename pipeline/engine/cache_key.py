"""The cache key of a stage: a digest of everything that can change its result.

key = CacheKey.of(node, {"examples": examples})
key.digest                  # "3f9a0c..."
key.differences(older)      # ["epochs changed from 5 to 10"]
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from pipeline.engine import definitions
from pipeline.engine.component import Node
from pipeline.engine.reachable import Target, reachable
from schemas.artifacts import Artifact
from schemas.errors import WiringError
from schemas.settings.base import UNKEYED

# Distributions whose import name differs, as far as gateline's own stages import them.
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "google": "protobuf",
    "grpc": "grpcio",
    "tensorflow_serving": "tensorflow-serving-api",
}
_WITHOUT_EFFECT = {"etils", "pydantic"}  # these do not change results


@dataclass(frozen=True)
class CacheKey:
    """The parts of a key as JSON values: `code` digests by module, `settings`, `inputs` digests, library `versions`."""

    stage: str
    parts: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, node: Node, inputs: dict[str, Artifact | None]) -> "CacheKey":
        keyed = {k: v for k, v in node.settings.items() if node.component.is_keyed(k)}
        code, versions = _code(node.component.function, frozenset(_classes(keyed)))
        settings = {k: plain(v) for k, v in keyed.items()}
        digests = {name: artifact.cache_identity() if artifact else None for name, artifact in inputs.items()}
        return cls(node.name, {"code": code, "settings": settings, "inputs": digests, "versions": versions})

    @functools.cached_property
    def digest(self) -> str:
        text = json.dumps([self.stage, self.parts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, older: dict[str, dict[str, Any]]) -> list[str]:
        """A sentence for each part that differs from an older key of this stage."""
        sentences = []
        for part, now in self.parts.items():
            before, after = _flat(older.get(part, {})), _flat(now)
            for name in sorted(before.keys() | after.keys()):
                if (b := before.get(name)) != (a := after.get(name)):
                    sentences.append(_changed(part, name, b, a))
        return sentences


def _changed(part: str, name: str, before: Any, after: Any) -> str:
    if part == "code":
        return f"{name} was edited"
    if part == "inputs" and "." not in name:
        return f"{name} changed" if before and after else f"{name} {'is new' if after else 'was removed'}"
    values = [str(value) for value in (before, after)]
    short = all(0 < len(value) < 40 for value in values)
    return f"{name} changed" + (f" from {values[0]} to {values[1]}" if short else "")


def plain(value: Any) -> Any:
    """A setting as JSON values, without fields marked `UNKEYED`, which only state where data is stored."""
    if isinstance(value, BaseModel):
        excluded = {name for name, field in type(value).model_fields.items() if UNKEYED in field.metadata}
        return value.model_dump(mode="json", exclude=excluded)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        k: v for name, each in value.items() for k, v in _flat(each, f"{prefix}.{name}" if prefix else name).items()
    }


def _classes(value: Any) -> Iterator[Target]:
    """The project's classes of settings. No stage names some of them: a gate's class is looked up at run time."""
    if isinstance(value, BaseModel):
        kind = type(value)
        if definitions.is_project(kind.__module__) and kind.__qualname__ in definitions.read(kind.__module__).bindings:
            yield kind.__module__, kind.__qualname__
        yield from _classes(vars(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _classes([getattr(value, each.name) for each in dataclasses.fields(value)])
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _classes(each)


def _code(function: Callable[..., Any], classes: frozenset[Target]) -> tuple[dict[str, str], dict[str, str]]:
    """(digest by module, version by distribution) of the code that a stage's function and its settings can reach.

    Raises:
        WiringError: the function is not defined in a module file.
    """
    module, name = function.__module__, function.__qualname__
    if definitions.location(module) is None:
        cause = (
            f"{name}() is defined in {module}, which is not a module file, so its code cannot be part of a cache key"
        )
        raise WiringError(f"{cause}. Move it into a module and import it.")
    code, libraries = reachable((module, name if name in definitions.read(module).bindings else "*"), *sorted(classes))
    return code, dict(map(_version, sorted(libraries - _WITHOUT_EFFECT)))


@functools.cache
def _version(library: str) -> tuple[str, str]:
    """(distribution, version) of an imported library."""
    name = _DISTRIBUTIONS.get(library, library)
    try:
        return name, importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if importlib.util.find_spec(library) is None:  # optional
            return library, "not installed"
        # This reads every distribution, which takes a second.
        name = min(importlib.metadata.packages_distributions().get(library, [""]))
    return (name, importlib.metadata.version(name)) if name else (library, "unknown")
