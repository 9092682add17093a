"""Settings of the evaluation on the test split."""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, FiniteFloat, NonNegativeInt, model_validator

from schemas.settings.base import Settings


def _rising(edges: list[float]) -> list[float]:
    if sorted(set(edges)) != edges:
        raise ValueError("edges must increase")
    return edges


Measure = Literal["ink", "stroke"]
Corruption = Literal["shift", "rotation", "noise", "blur", "contrast"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
FEATURES = (
    "label",
    "image/height",
    "image/width",
    "image/channels",
    "source/dataset",
    "source/version",
    "source/split",
)
RESERVED = ("examples", "corruption", "leaked", "fresh")  # names of the evaluation's own features
Edges = Annotated[list[Annotated[FiniteFloat, Field(gt=0)]], Field(min_length=1, max_length=9), AfterValidator(_rising)]
Slice = Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=2, max_length=3)]


def bins(edges: Sequence[float]) -> list[str]:
    """Names of the slices between edges, from the lowest to the highest."""
    return [f"below {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in pairwise(edges)), f"from {edges[-1]:g}"]


class Evaluate(Settings):
    """What is measured in addition to the whole test split and each class. It takes a second or two."""

    slices: list[Slice] = Field(
        [], description="features to slice by, e.g. ink, source/dataset, a column of a table; [label, ink] crosses two"
    )
    derived: dict[Measure, Edges] = Field(
        {}, description="features measured on the image: edges between slices, e.g. ink: [0.1, 0.16]"
    )
    corruptions: list[Corruption] = Field(
        list(CORRUPTIONS), description="corruptions applied to test images to measure robustness"
    )
    corrupted: NonNegativeInt = Field(1000, description="number of test images to corrupt, each with every corruption")

    @property
    def features(self) -> list[tuple[str, ...]]:
        """The features of each slicing, label first."""
        return [("label",), *((s,) if isinstance(s, str) else tuple(s) for s in self.slices)]

    @model_validator(mode="after")
    def _nothing_is_counted_twice(self) -> "Evaluate":
        seen = [frozenset(features) for features in self.features]
        for features, distinct in zip(self.features, seen, strict=True):
            if len(distinct) < len(features) or seen.count(distinct) > 1:
                raise ValueError(
                    f"slices names {', '.join(features)} twice"
                    + (" (label always is one)" if features == ("label",) else "")
                )
        if len(set(self.corruptions)) < len(self.corruptions):
            raise ValueError("corruptions names one twice")
        return self

    @property
    def columns(self) -> list[str]:
        """The features that only records of a table can have: its further columns."""
        named = dict.fromkeys(feature for features in self.features for feature in features)
        return [feature for feature in named if feature not in (*FEATURES, *self.derived)]

    def check_columns(self, carried: Sequence[str]) -> None:
        """Raises ValueError if slices names a feature that no record has. `carried`: columns that records carry."""
        known = (*FEATURES, *self.derived, *carried)
        for feature in self.columns:
            if feature not in carried:
                close = get_close_matches(feature, known, 1)
                hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
                raise ValueError(f"evaluate.slices names {feature}, which no record has; {hint}")

    @model_validator(mode="after")
    def _measures_have_edges(self) -> "Evaluate":
        for feature in self.columns:
            if feature in RESERVED:
                raise ValueError(f"slices names {feature}, a name of the evaluation's own; rename the column")
            if feature in get_args(Measure):
                raise ValueError(f"slices names {feature}, which needs edges; add derived: {{{feature}: [edge, edge]}}")
        return self
