"""Preprocessing of image and label."""

from typing import Literal

from pydantic import Field

from schemas.settings.base import Settings


class Transform(Settings):
    """Preprocessing of image and label."""

    scale: Literal["unit", "standardize"] = Field(
        "unit", description="divide by 255, or mean 0 and variance 1 per channel over train"
    )
    label: Literal["index", "one_hot"] = Field("index", description="encoding of the label, as the loss requires")
