"""Settings of spans: labelled images that go on arriving, one directory after the other.

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
from schemas.text import nfc

READY = "_READY"  # the marker of a span that is complete
LONGEST = 128  # bytes of a span's name: it becomes part of names of files, of which none may be longer than 255


def fit(name: str) -> bool:
    """Whether a span of this name is read: it can be shown, and files can be called by it."""
    return name.isprintable() and "\\" not in name and len(name.encode()) <= LONGEST


def called(name: str) -> str:
    """A span's name; of an invalid name, a printable form that is invalid too and belongs to no other span."""
    return name if fit(name) else f"{shown(name)[:40]}\\{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def shown(text: str) -> str:
    """Text without control characters: names of files may hold any byte, which are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def in_order(names: Iterable[str]) -> list[str]:
    """Names of spans, the oldest first: by the numbers in them, span-9 before span-10."""
    return sorted(
        names,
        key=lambda name: [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)],
    )


class Window(Settings):
    """Which of the admitted spans are trained on: all of them, unless it says otherwise."""

    last: PositiveInt | None = Field(None, description="the newest N")
    days: PositiveInt | None = Field(
        None, description="those of the last N days, counted from the newest admitted span's date"
    )
    only: list[str] | None = Field(None, description="those of these names")

    @model_validator(mode="before")
    @classmethod
    def _all(cls, given: Any) -> Any:
        return {} if given == "all" else given

    @model_validator(mode="after")
    def _one_rule(self) -> "Window":
        if len([rule for rule in (self.last, self.days, self.only) if rule is not None]) > 1:
            raise ValueError("state one of last, days and only")
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
        "warning", description="quarantine leaves such a span out, error stops the line"
    )


class Spans(Settings):
    """New data beside the dataset of `source`: directories span-*, each of labelled images."""

    directory: FilePath = Field(description="where spans appear: span-0007/, or span-2026-11-07/")
    ready: Literal["marker", "rename"] = Field(
        "marker", description=f"a span is complete when it holds {READY}; or, by rename, as soon as it has its name"
    )
    labels: list[str] = Field(
        [], description="names of the folders of images, in the order of labels; absent: they are numbers"
    )
    window: Window = Field(Window(), description="which spans are trained on; all, unless stated")
    weight: Positive = Field(1.0, description="how often an image of a span counts in training")
    base_weight: Positive = Field(1.0, description="how often an image of the dataset of source counts in training")
    fresh: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        0.1, description="share of the newest span that is tested on, beside the fixed test split"
    )
    drift: Drift = Field(Drift(), description="how far a span may lie from what the served model learnt")

    def check(self, classes: int, names: Sequence[str] = ()) -> None:
        """Raises ConfigurationError unless `labels` are those of the contract, each once and in its order."""
        remedy = "Name each label once, in the order of their numbers."
        labels, names = [nfc(label) for label in self.labels], [nfc(name) for name in names]
        if labels and len(set(labels)) != classes:
            raise ConfigurationError(
                f"spans.labels names {len(set(labels))} labels; the contract knows {classes}", remedy
            )
        if len(labels) > classes:
            raise ConfigurationError(f"spans.labels names {len(labels)} labels, some twice", remedy)
        for number, (ours, theirs) in enumerate(zip(labels, names, strict=False)):
            if ours != theirs and ours in names:
                raise ConfigurationError(
                    f"spans.labels says that label {number} is {ours}; the contract says {theirs}", remedy
                )
