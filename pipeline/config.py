"""Configuration: a profile or file (YAML), overridden by `--set`, validated with one message per error.

config = load(profile="mnist", sets=["train.epochs=3"])
config.train.epochs  # 3
"""

import difflib
import re
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.notify.settings import Notify
from schemas.contract import shipped
from schemas.errors import ConfigurationError
from schemas.settings.base import IS_PATH, FilePath, Settings
from schemas.settings.check_serving import Serving
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from schemas.settings.push import Push
from schemas.settings.reference import MODELS, Setting, described, sections
from schemas.settings.source import KINDS as SOURCES
from schemas.settings.source import Custom, Source, Table
from schemas.settings.spans import Spans
from schemas.settings.train import Train
from schemas.settings.transform import Transform
from schemas.settings.tune import Range, Tune
from schemas.settings.validate import Validate

PROFILES = Path(__file__).parent / "profiles"
DEFAULT_FILE = Path("gateline.yaml")  # the configuration of the current directory
ALTERNATIVES = MODELS | SOURCES | {"range": Range}  # models of one setting, by their tag in pydantic's errors
TAGS = ("choices", "named split", "share of train")  # of other alternatives of one setting


class Config(Settings):
    """All settings of a run. Sections are named after the stages that read them."""

    source: Source = Field(description="the dataset")
    spans: Spans | None = Field(None, description="new images that arrive over time; default: none")
    contract: FilePath = Field(alias="schema", description="the data contract: a path, or the name of a shipped .pbtxt")
    checks: Validate = Field(  # a field cannot be called `validate`, which is a method of pydantic's models
        Validate(), alias=Validate.__name__.lower(), description="severity of each anomaly of the data"
    )
    transform: Transform = Field(Transform(), description="preprocessing of image and label")
    tune: Tune = Field(Tune(), description="hyperparameter search, for the command tune")
    train: Train = Field(Train(), description="model and training")
    evaluate: Evaluate = Field(Evaluate(), description="measurements in addition to the whole test split")
    gates: Gates = Field(description="requirements on the model")
    check_serving: Serving = Field(Serving(), description="limits of the serving check")
    push: Push = Field(Push(), description="approval and publication of the model")
    notify: list[Notify] = Field([], description="notifications of runs")

    @model_validator(mode="after")
    def _search_space_fits_model(self) -> "Config":
        self.tune.over(self.train).check(self.train)
        return self

    @model_validator(mode="after")
    def _loss_matches_label(self) -> "Config":
        expected_label = "one_hot" if self.train.loss == "categorical_crossentropy" else "index"
        if self.transform.label != expected_label:
            raise ValueError(
                f"train.loss {self.train.loss} needs transform.label: {expected_label}, not {self.transform.label}"
            )
        return self

    @model_validator(mode="after")
    def _slices_are_features_of_records(self) -> "Config":
        unknown = isinstance(self.source, Custom)  # what is not stated is looked up while planning
        stated = self.source.metadata if isinstance(self.source, Table) else None if unknown else []
        if stated is not None:
            self.evaluate.check_columns(stated)
        return self

    @model_validator(mode="after")
    def _fresh_gate_needs_spans(self) -> "Config":
        if "fresh" in self.gates.stated() and not (self.spans and self.spans.fresh):
            raise ValueError("gates.fresh judges the newest span: it needs spans, and spans.fresh above 0")
        return self


def section(settings: type[Settings]) -> str:
    """The key of the section with these settings: `section(Train)` is "train"."""
    fields = Config.model_fields.items()
    return next(field.alias or name for name, field in fields if field.annotation is settings)


def profiles() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(p.stem for p in PROFILES.glob("*.yaml"))


def selected(profile: str | None, file: Path | None) -> tuple[str | None, Path | None]:
    """(profile, file) to load, one of them None. By default `gateline.yaml` in the current directory, else `sample`."""
    if profile or file:
        return (None, file) if file else (profile, None)
    return (None, DEFAULT_FILE) if DEFAULT_FILE.is_file() else ("sample", None)


def load(*, profile: str | None = None, file: Path | None = None, sets: list[str] | None = None) -> Config:
    """The configuration of a shipped profile or of a file, with `section.key=value` overrides.

    Raises:
        ConfigurationError: no such profile, broken YAML, an unknown key, a wrong type, or a value out of range.
    """
    where = f"file {file}" if file else f"profile {profile}"
    if profile not in profiles() and not (file and profile is None):
        raise ConfigurationError(
            f"there is no profile {profile}",
            f"The profiles are {', '.join(profiles())}.{_suggestion(profile or '', profiles())}",
        )
    path = file or PROFILES / f"{profile}.yaml"
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}", "Name another with --config.")
    try:
        document = _yaml(path.read_text(encoding="utf-8"), where)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{where} is not a text file", "Name a YAML file with --config.") from None
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"{where} holds {_short(document)}, not a mapping of settings", "See pipeline/profiles/sample.yaml."
        )
    if file:
        _resolve_paths(document, Config, path.parent)
    for override in sets or []:
        _override(document, override)
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors()]
        raise ConfigurationError(f"\n{' ' * 15}".join(lines) + f" ({where}{', --set' if sets else ''})") from None


def _resolve_paths(section: dict[str, Any], model: type[BaseModel], folder: Path) -> None:
    """Makes paths relative to the folder of their file. A contract there precedes a shipped one with the same name."""
    for name, field in model.model_fields.items():
        value = section.get(field.alias or name)
        if isinstance(value, dict):
            for inner in sections(field.annotation):
                _resolve_paths(value, inner, folder)
        elif isinstance(value, str) and value and _is_path(field):
            path = folder / Path(value).expanduser()
            if not (field.alias == "schema" and shipped(value) and not path.is_file()):
                section[field.alias or name] = str(path)


def _is_path(field: FieldInfo) -> bool:
    return IS_PATH in field.metadata or _has_path_marker(field.annotation)


def _has_path_marker(annotation: Any) -> bool:
    marks = getattr(annotation, "__metadata__", ())
    return IS_PATH in marks or any(_has_path_marker(each) for each in typing.get_args(annotation))


def _yaml(text: str, where: str) -> Any:
    """The value of a text in YAML 1.2's safe subset: 1e-3 is a number, `on` is a string, keys are unique."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (ValueError, RecursionError) as error:  # an invalid date; unclosed brackets
        raise ConfigurationError(f"{where} is not valid YAML: {error}", "Fix it and run again.") from None
    except YAMLError as error:
        position = getattr(error, "problem_mark", None)
        location = f" at line {position.line + 1}, column {position.column + 1}" if position else ""
        problem = getattr(error, "problem", None) or str(error).strip()
        cause = f"{where} is not valid YAML{location}: {problem.splitlines()[0]}"
        raise ConfigurationError(cause, "Fix it and run again.") from None


def _override(document: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigurationError(
            f"--set {override} is not of the form section.key=value", "For example: --set train.epochs=3"
        )
    *sections, last = key.split(".")
    for section in sections:
        inner = document.setdefault(section, {})
        if inner is None:
            inner = document[section] = {}
        if not isinstance(inner, dict):
            raise ConfigurationError(
                f"--set {override}: {section} is a value, not a section",
                "Run python -m pipeline settings for all settings.",
            )
        document = inner
    document[last] = _yaml(text, f"--set {override}")


def _explain(error: Any) -> str:
    """One line: the key, the value, what is allowed, and a close match for a misspelt name."""
    path = [str(part) for part in error["loc"] if part not in (*ALTERNATIVES, *TAGS)]
    key, kind, value = ".".join(path), error["type"], _short(error["input"])
    if kind == "extra_forbidden":
        chosen = next((model for name, model in ALTERNATIVES.items() if name in error["loc"]), None)
        known = sorted(chosen.model_fields) if chosen else _keys(path[:-1])
        prefix = ".".join(path[:-1])
        close = difflib.get_close_matches(path[-1], known, 1)
        hint = f" Did you mean {f'{prefix}.' if prefix else ''}{close[0]}?" if close else f" Known: {', '.join(known)}."
        return f"{key} is not a setting.{hint}"
    if kind == "missing":
        return f"{key} is required"
    context = error.get("ctx", {})
    if kind == "value_error":
        return f"{key + ': ' if key else ''}{context['error']}"
    if kind == "union_tag_not_found":
        return f"{key}.kind is missing; allowed: {', '.join(MODELS)}"
    if kind in ("literal_error", "union_tag_invalid"):
        expected = context.get("expected") or context.get("expected_tags")
        allowed = str(expected).replace("'", "").replace(" or ", ", ")
        return f"{key} is {value}; allowed: {allowed}.{_suggestion(str(error['input']), allowed.split(', '))}"
    return f"{key} is {value}; {error['msg'][0].lower()}{error['msg'][1:]}"


def _keys(path: list[str]) -> list[str]:
    """Names of the settings in a section; an index in a list is ignored."""
    path = re.sub(r"\.\d+(?=\.|$)", "[]", ".".join(path)).split(".") if path else []
    return sorted(
        {
            each.key.split(".")[len(path)]
            for each in describe()
            if each.key.split(".")[: len(path)] == path and each.key.count(".") >= len(path)
        }
    )


def describe() -> list[Setting]:
    """Every setting."""
    return described(Config)


def _suggestion(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f" Did you mean {close[0]}?" if close else ""


def _short(value: Any) -> str:
    text = "none" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
