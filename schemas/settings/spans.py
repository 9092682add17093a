"""Settings of spans: labelled images that arrive over time, one directory per delivery.

Spans(directory="data", window={"days": 30}, weight=2.0).window.days  # 30
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from schemas.errors import ConfigurationError
from schemas.settings.base import FilePath, Positive, Settings
from schemas.settings.source import Unreadable
from schemas.text import nfc

READY = "_READY"  # the marker of a span that is complete
LONGEST = 128  # bytes of a span's name: it becomes part of file names, which have at most 255


def is_valid_name(name: str) -> bool:
    """Whether the name is valid: printable, and valid as a file name."""
    return name.isprintable() and "\\" not in name and len(name.encode()) <= LONGEST


def printable_name(name: str) -> str:
    """A span's name; for an invalid name, a unique printable form that is invalid too."""
    return name if is_valid_name(name) else f"{shown(name)[:40]}\\{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def shown(text: str) -> str:
    """Text without control characters, which are shown as escapes: file names may hold any byte."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def in_order(names: Iterable[str]) -> list[str]:
    """Names of spans, the oldest first: by the numbers in them, span-9 before span-10."""
    return sorted(
        names,
        key=lambda name: [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)],
    )


class Window(Settings):
    """The admitted spans that are trained on; all by default."""

    last: PositiveInt | None = Field(None, description="the newest N spans")
    days: PositiveInt | None = Field(
        None, description="spans of the last N days, counted from the newest admitted span's date"
    )
    only: list[str] | None = Field(None, description="only the spans with these names")

    @model_validator(mode="before")
    @classmethod
    def _all(cls, given: Any) -> Any:
        return {} if given == "all" else given

    @model_validator(mode="after")
    def _one_rule(self) -> "Window":
        if len([rule for rule in (self.last, self.days, self.only) if rule is not None]) > 1:
            raise ValueError("set exactly one of last, days and only")
        return self


class Drift(Settings):
    """Limits of a span's distance from the training data of the served model (or the base dataset), and the action."""

    pixels: Positive = Field(0.02, description="largest Jensen-Shannon divergence of pixel values, in bits")
    labels: Annotated[FiniteFloat, Field(gt=0, le=1)] = Field(
        0.05, description="largest difference in a label's share, beyond chance"
    )
    brightness: Positive = Field(
        0.5, description="largest shift of a label's mean brightness, in its standard deviations"
    )
    then: Literal["ignore", "warning", "quarantine", "error"] = Field(
        "warning", description="quarantine excludes the span, error stops the run"
    )


class Spans(Settings):
    """New data in addition to the dataset of `source`: directories span-*, each of labelled images."""

    directory: FilePath = Field(description="where spans appear: span-0007/, or span-2026-11-07/")
    ready: Literal["marker", "rename"] = Field(
        "marker",
        description=f"a span is complete when it contains {READY}; or, with rename, as soon as it has its name",
    )
    labels: list[str] = Field(
        [], description="names of the folders of images, in the order of labels; default: they are numbers"
    )
    window: Window = Field(Window(), description="which spans are trained on; default: all")
    weight: Positive = Field(1.0, description="how often an image of a span counts in training")
    base_weight: Positive = Field(1.0, description="how often an image of the dataset of source counts in training")
    fresh: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        0.1, description="share of the newest span that is tested on, in addition to the fixed test split"
    )
    unreadable: Unreadable = Field(
        Unreadable(), description="images of a span's folders that cannot be decoded; the limit is that of each span"
    )
    drift: Drift = Field(Drift(), description="limits of a span's distance from the served model's training data")

    def check(self, classes: int, names: Sequence[str] = ()) -> None:
        """Raises ConfigurationError unless `labels` are those of the contract, each once and in its order."""
        remedy = "Name each label once, in the order of their numbers."
        labels, names = [nfc(label) for label in self.labels], [nfc(name) for name in names]
        if labels and len(set(labels)) != classes:
            raise ConfigurationError(
                f"spans.labels names {len(set(labels))} labels; the contract has {classes}", remedy
            )
        if len(labels) > classes:
            raise ConfigurationError(f"spans.labels names {len(labels)} labels, some twice", remedy)
        for number, (label, expected) in enumerate(zip(labels, names, strict=False)):
            if label != expected and label in names:
                raise ConfigurationError(
                    f"in spans.labels, label {number} is {label}; in the contract it is {expected}", remedy
                )
