"""`@component` makes a stage from a typed function. Calling the stage creates a node of the DAG and checks its types.

    @component
    def describe(examples: Examples, *, run: StageRun) -> Statistics:
        ...
        return Statistics(run.out, counts=...)

    statistics = describe(examples=ingest(source=...))   # a Node: nothing has run yet

Ordinary parameters take artifacts: they are the edges. Keyword-only parameters are settings and enter the cache key,
except those marked `Unkeyed`, which state only where something is stored. The runner passes `run`.
"""

import functools
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

from schemas.artifacts import Artifact
from schemas.errors import ConfigurationError, WiringError

T = TypeVar("T")
Unkeyed = Annotated[T, "unkeyed"]

Kind = Literal["cached", "always", "resolver"]


class StageRun(Protocol):
    """The services of the runner to a stage."""

    @property
    def out(self) -> Path:
        """The directory to write to. It becomes the artifact when the stage returns, and is deleted if it fails."""

    @property
    def scratch(self) -> Path:
        """A directory for checkpoints. It survives a kill, until the stage is completed."""

    @property
    def lineage(self) -> dict[str, Any]:
        """The number of the run, and key, digest and facts of each upstream stage."""

    @property
    def prefetched(self) -> Any:
        """The result of the component's `prefetch`, or None."""

    def previous(self) -> Iterator[Artifact]:
        """Artifacts of this stage with the same code, settings and libraries, but other inputs, the newest first. An
        incremental stage reuses their unchanged parts."""

    def beam(self) -> AbstractContextManager[Any]:
        """A Beam pipeline on the selected runner."""

    def log(self, text: str) -> None:
        """Reports progress, in one line of text."""


@dataclass(frozen=True)
class Component:
    """A stage: a typed function, and when it runs."""

    function: Callable[..., Any]
    kind: Kind
    prefetch: Callable[[], AbstractContextManager[Any]] | None  # started while an input of the stage is computed
    completes: str | None = (
        None  # the input that the stage may change; it is resolved again for the key of the artifact
    )

    @property
    def name(self) -> str:
        return self.function.__name__

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        return typing.get_type_hints(self.function, include_extras=True)

    @functools.cached_property
    def output(self) -> type[Artifact]:
        output: type[Artifact] = _alternatives(self.hints["return"])[0]
        return output

    @functools.cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        parameters = dict(inspect.signature(self.function).parameters)
        parameters.pop("run", None)
        return parameters

    def is_input(self, name: str) -> bool:
        return self.parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY

    def is_keyed(self, name: str) -> bool:
        return "unkeyed" not in getattr(self.hints[name], "__metadata__", ())

    def __call__(self, **arguments: Any) -> "Node":
        """A node of the DAG.

        Raises:
            WiringError: a parameter is missing or unknown, or an input has the wrong type.
        """
        caller = sys._getframe(1)
        where = f"({Path(caller.f_code.co_filename).name}:{caller.f_lineno})"
        if unknown := arguments.keys() - self.parameters.keys():
            raise WiringError(
                f"{self.name}() has no parameter {sorted(unknown)[0]}; it takes {', '.join(self.parameters)} {where}."
            )
        for name, parameter in self.parameters.items():
            if name not in arguments:
                if parameter.default is parameter.empty:
                    raise WiringError(f"{self.name}() lacks {name}: {_types(self.hints[name])} {where}.")
                arguments[name] = parameter.default
            if self.is_input(name):
                self._check_input(name, arguments[name], where)
            elif isinstance(arguments[name], Node):
                raise WiringError(
                    f"{self.name}({name}=...) is a setting, but {arguments[name].name}() makes an artifact {where}."
                )
        inputs = {name: arguments[name] for name in self.parameters if self.is_input(name)}
        settings = {name: arguments[name] for name in self.parameters if not self.is_input(name)}
        return Node(self, inputs, settings)

    def _check_input(self, name: str, value: Any, where: str) -> None:
        expected = _alternatives(self.hints[name])
        if not isinstance(value, Node):
            raise WiringError(
                f"{self.name}({name}=...) takes {_types(self.hints[name])}, but got {type(value).__name__} {where}."
            )
        if not issubclass(value.component.output, tuple(expected)):
            made = value.component.output.__name__
            raise WiringError(
                f"{self.name}({name}=...) takes {_types(self.hints[name])}, but {value.name}() makes {made} {where}."
            )

    def __reduce__(self) -> tuple[Any, ...]:
        # Beam pickles the functions that it runs: a decorated module-level function is pickled by name.
        return _import_component, (self.function.__module__, self.function.__qualname__)


@dataclass(frozen=True, eq=False)
class Node:
    """A stage with its inputs and settings, in a DAG that has not run yet."""

    component: Component
    inputs: dict[str, "Node"]
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        return self.component.name

    def walk(self) -> Iterator["Node"]:
        """Every node once, inputs first.

        Raises:
            WiringError: two different nodes are the same stage.
        """
        seen: dict[str, Node] = {}

        def visit(node: "Node") -> Iterator["Node"]:
            if (known := seen.get(node.name)) is node:
                return
            for upstream in node.inputs.values():
                yield from visit(upstream)
            if known is not None or node.name in seen:
                raise WiringError(f"{node.name}() is in the line twice; each stage runs once.")
            seen[node.name] = node
            yield node

        yield from visit(self)

    @property
    def stages(self) -> list[str]:
        """The names of the stages, without resolvers."""
        return [each.name for each in self.walk() if each.component.kind != "resolver"]

    @property
    def needs(self) -> list[str]:
        """The stages that directly precede this one. Resolvers are skipped."""
        names: dict[str, None] = {}
        for each in self.inputs.values():
            names |= dict.fromkeys(each.needs if each.component.kind == "resolver" else [each.name])
        return list(names)

    def up_to(self, stage: str) -> "Node":
        """The part of the line that ends with `stage`.

        Raises:
            ConfigurationError: the line has no such stage.
        """
        if stage not in self.stages:
            raise ConfigurationError(
                f"{stage} is not a stage of this line", f"Its stages are {', '.join(self.stages)}."
            )
        return next(node for node in self.walk() if node.name == stage)


@typing.overload
def component(function: Callable[..., Any], /) -> Component: ...
@typing.overload
def component(
    *, kind: Kind = ..., prefetch: Callable[[], AbstractContextManager[Any]] | None = ..., completes: str | None = ...
) -> Callable[[Callable[..., Any]], Component]: ...
def component(
    function: Any = None, /, *, kind: Kind = "cached", prefetch: Any = None, completes: str | None = None
) -> Any:
    """Makes a stage from a typed function. `kind` states when it runs:

    cached: if the store has no complete artifact with its key. always: every time, without storing an artifact.
    resolver: during planning; looks up an existing artifact, or None. Must be cheap.
    """
    if function is None:
        return functools.partial(component, kind=kind, prefetch=prefetch, completes=completes)
    return Component(function, kind, prefetch, completes)


def _import_component(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _alternatives(hint: Any) -> list[Any]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return [each for each in typing.get_args(hint) if each is not type(None)]
    return [hint]


def _types(hint: Any) -> str:
    return " or ".join(getattr(each, "__name__", str(each)) for each in _alternatives(hint))
