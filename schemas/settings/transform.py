"""Preprocessing of image and label."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.settings.base import Positive, Settings

Side = Annotated[int, Field(ge=1, le=4096)]


class Transform(Settings):
    """Preprocessing of image and label. Its graph is part of the served model."""

    size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = Field(
        None, description="height and width of the model's input; default: those of the contract, if it states one size"
    )
    fit: Literal["crop", "pad", "stretch"] = Field(
        "crop", description="crop the centre, pad with the background, or stretch images of another aspect ratio"
    )
    channels: Literal[1, 3] | None = Field(
        None, description="channels of the model's input: 1 is grey, 3 is RGB; default: as the contract states"
    )
    background: Literal["white", "black"] = Field(
        "white", description="colour behind transparent pixels and of the padding"
    )
    scale: Literal["unit", "standardize", "imagenet"] = Field(
        "unit",
        description="divide by 255; standardize: mean 0 and variance 1 per channel over train; imagenet: over ImageNet",
    )
    materialize: Literal["auto", "pixels", "none"] = Field(
        "auto",
        description="pixels: write images at the model's size; none: decode them in every epoch; auto: by disk_gb",
    )
    disk_gb: Positive = Field(20.0, description="disk limit in GB for `auto`")
    label: Literal["index", "one_hot"] = Field("index", description="encoding of the label, as the loss requires")
