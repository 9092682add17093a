"""How the image of a record becomes the input of the model.

model_input = ModelInput.of(contract, Transform(size=[224, 224]))
model_input.shape, model_input.raw     # (224, 224, 3), None: records hold encoded images
"""

from dataclasses import dataclass
from typing import Literal

from schemas.contract import Contract
from schemas.errors import ConfigurationError
from schemas.settings.transform import Transform

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ModelInput:
    """Size of the model's input, and how images of other sizes are made to fit."""

    shape: Shape  # height, width, channels of the model's input
    raw: Shape | None = None  # of the records' raw pixels; None if records hold encoded images
    fit: Literal["crop", "pad", "stretch"] = "crop"
    background: Literal["white", "black"] = "white"

    @classmethod
    def of(cls, contract: Contract, settings: Transform) -> "ModelInput":
        """Raises ConfigurationError if the contract allows images of several sizes and `settings` states none."""
        smallest, largest = contract.smallest, contract.largest
        if settings.size is None and smallest[:2] != largest[:2]:
            cause = f"transform.size is not set, and {contract.name} allows images of several sizes"
            raise ConfigurationError(cause, "Set the model's input size, for example transform.size: [128, 128].")
        height, width = settings.size or largest[:2]
        channels = settings.channels or (1 if largest[2] == 1 else 3)
        if settings.scale == "imagenet" and channels != 3:
            cause = f"transform.scale is imagenet, which is of 3 channels, and the model's input has {channels}"
            raise ConfigurationError(cause, "Set transform.channels: 3, or another scale.")
        raw = largest if contract.encoding == "raw" else None
        return cls((height, width, channels), raw, settings.fit, settings.background)

    @property
    def as_recorded(self) -> bool:
        """Whether records hold exactly the model's input."""
        return self.raw == self.shape
