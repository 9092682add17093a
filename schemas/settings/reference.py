"""A description of every setting, read from the models: type, allowed range, default and meaning.

described(Train, "train.")[0].key  # "train.batch_size"
"""

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from schemas.settings.source import KINDS as SOURCES
from schemas.settings.train import Cnn, Mlp
from schemas.settings.tune import Range

MODELS: dict[str, type[BaseModel]] = {"mlp": Mlp, "cnn": Cnn}  # by their `kind`
_KINDS = {model: name.removesuffix(" source") for name, model in (MODELS | SOURCES).items()}


@dataclass(frozen=True, order=True)
class Setting:
    """One setting. `key[]`: any item of a list."""

    key: str
    kinds: tuple[str, ...]  # the kinds of model or source that have it, where not all do
    type: str
    range: str  # of numbers, and of the length of texts and lists; "" where everything is allowed
    default: str
    meaning: str

    @property
    def title(self) -> str:
        """The key, with the kinds."""
        return f"{self.key} ({', '.join(self.kinds)})" if self.kinds else self.key


def described(model: type[BaseModel], prefix: str = "") -> list[Setting]:
    """Every setting of a section."""
    return _merged(_settings(model, prefix, "required"))


def sections(annotation: Any) -> list[type[BaseModel]]:
    """The models of a setting that is a section: several if it has kinds, none if it is a value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [] if issubclass(annotation, Range | RootModel) else [annotation]
    if _is_union(annotation) or typing.get_origin(annotation) in (typing.Annotated, list):
        return [model for each in typing.get_args(annotation) for model in sections(each)]
    return []


def _settings(model: type[BaseModel], prefix: str, required: str) -> Iterator[Setting]:
    """`required`: the default of a required setting."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        listed = typing.get_origin(field.annotation) is list
        inner = sections(field.annotation)
        optional = listed or len(inner) > 1 or (not field.is_required() and field.default is None)
        below, mark = f"{key}[]." if listed else f"{key}.", "required there" if optional else required
        nested = [setting for each in inner for setting in _settings(each, below, mark)]
        yield from _merged(nested, every=len(inner))
        if not inner or listed or len(inner) > 1 or type(None) in typing.get_args(field.annotation):
            default = required if field.is_required() else _shown(field.default)
            type_, range_ = _type(field.annotation), _range(field.annotation, field.metadata)
            kinds = (_KINDS[model],) if model in _KINDS else ()
            yield Setting(key, kinds, type_, range_, default, field.description or "")


def _merged(settings: typing.Iterable[Setting], every: int = 1) -> list[Setting]:
    """Equal settings of several kinds as one. `every`: the number of kinds; a setting of all of them names none."""
    kinds: dict[tuple[str, ...], tuple[str, ...]] = {}
    for each in settings:
        same = (each.key, each.type, each.range, each.default, each.meaning)
        kinds[same] = (*kinds.get(same, ()), *each.kinds)
    return sorted(
        Setting(key, () if 1 < every == len(named) else named, *rest) for (key, *rest), named in kinds.items()
    )


def _is_union(annotation: Any) -> bool:
    return isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union


def _type(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        annotation = annotation.model_fields["root"].annotation
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return ", ".join(str(each) for each in arguments)
    if _is_union(annotation):
        return " or ".join(_type(each) for each in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (list, dict):
        items = _type(arguments[-1])
        return f"{origin.__name__} of {f'({items})' if ' or ' in items else items}"
    return _named(annotation)


def _named(kind: Any) -> str:
    """The type of a value, or the kind of a section."""
    if isinstance(kind, type) and issubclass(kind, Range):
        return "{" + ", ".join(kind.model_fields) + "}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _KINDS.get(kind, "section")
    return {type(None): "none", Any: "any value"}.get(kind) or str(kind.__name__)


def _range(annotation: Any, metadata: typing.Iterable[Any] = ()) -> str:
    """The allowed numbers or lengths, in words."""
    limits = list(_constraints(metadata))
    if isinstance(annotation, type) and issubclass(annotation, RootModel | Range):
        field = next(iter(annotation.model_fields.values()))
        inner = _range(field.annotation, [*field.metadata, *limits])
        return f"min {inner}" if inner and issubclass(annotation, Range) else inner
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _range(arguments[0], [*arguments[1:], *limits])
    if _is_union(annotation):
        return ", or ".join(dict.fromkeys(filter(None, (_range(each, limits) for each in arguments))))
    if origin in (list, dict):
        items = _range(arguments[-1])
        return "; ".join(filter(None, (items and f"each {items.removeprefix('each ')}", _length(limits, "item"))))
    return _numbers(limits) or (_length(limits, "character") if annotation is str else "")


def _constraints(metadata: typing.Iterable[Any]) -> Iterator[Any]:
    for each in metadata:
        yield from each.metadata if isinstance(each, FieldInfo) else [each]


def _limit(limits: list[Any], name: str) -> Any:
    return next((getattr(each, name) for each in limits if getattr(each, name, None) is not None), None)


def _numbers(limits: list[Any]) -> str:
    above, least, below, most = (_limit(limits, name) for name in ("gt", "ge", "lt", "le"))
    if least is not None and most is not None:
        return f"{least:,} to {most:,}"
    signs = {">": above, "≥": least, "<": below, "≤": most}
    return ", ".join(f"{sign} {limit:,}" for sign, limit in signs.items() if limit is not None)


def _length(limits: list[Any], unit: str) -> str:
    least, most = _limit(limits, "min_length"), _limit(limits, "max_length")
    if least == most:
        return f"{least} {unit}s" if least else ""
    if most is None and least == 1 and unit == "character":
        return "not empty"
    if most is None:
        return f"at least {least} {unit}{'s'[: least > 1]}"
    return f"{least} to {most} {unit}s" if least else f"at most {most} {unit}s"


def _shown(value: Any) -> str:
    """A default as YAML states it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, RootModel):
        return _shown(value.root)
    if isinstance(value, BaseModel):
        return _shown(value.model_dump(mode="json"))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_shown(each)}" for name, each in value.items()) + "}"
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, list | tuple) else str(value)
