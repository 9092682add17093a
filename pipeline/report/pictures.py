"""Images as `data:` URLs.

pictures = Pictures.of(evaluation.gallery_images())
pictures.url(3)      # "data:image/png;base64,..."
pictures.width       # in CSS pixels
Pictures.of(statistics.near_pictures(), lossy=True).url(0)      # "data:image/jpeg;base64,..."
"""

import base64
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from etils import epy

with epy.lazy_imports():
    import imagecodecs
    import numpy as np

BUDGET = 1_200_000  # bytes of all pixels; keeps a page below 3 MB, since base64 adds a third
QUALITY = 80  # of JPEG, which takes less than a sixth of the bytes of pixels
SIDE = 84  # CSS pixels, approximately; three times an MNIST digit


@dataclass(frozen=True)
class Pictures:
    """Images, uint8 [n, height, width, channels]. Small ones are shown at an integer multiple of their size.

    lossy: as JPEG, for thumbnails of photos. Otherwise PNG, which shows the pixels that the model sees.
    """

    images: Any
    lossy: bool = False

    @classmethod
    def of(cls, images: "np.ndarray | None", *, lossy: bool = False) -> "Pictures | None":
        """The images of a gallery, or None if there are none."""
        return cls(images, lossy) if images is not None and images.ndim == 4 and images.size else None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def scale(self) -> float:
        """CSS pixels of the page for each pixel of the image."""
        side = max(self.images.shape[1:3])
        return float(SIDE // side if side <= SIDE else SIDE / side)

    @property
    def width(self) -> int:
        return max(1, round(float(self.images.shape[2]) * self.scale))

    @property
    def height(self) -> int:
        return max(1, round(float(self.images.shape[1]) * self.scale))

    def url(self, row: int) -> str:
        return self._urls[row]

    @cached_property
    def _urls(self) -> list[str]:
        if self.lossy:
            jpegs = (imagecodecs.jpeg8_encode(image, level=QUALITY) for image in self._small)
            return [f"data:image/jpeg;base64,{base64.b64encode(each).decode()}" for each in jpegs]
        pngs = map(imagecodecs.png_encode, self._small)
        return [f"data:image/png;base64,{base64.b64encode(each).decode()}" for each in pngs]

    @property
    def _small(self) -> Any:
        """The images as grey or RGB, reduced to the budget by averaging blocks of pixels."""
        n, height, width, channels = self.images.shape
        images = self.images[..., :3] if channels >= 3 else self.images[..., :1]
        step = min(math.ceil(math.sqrt(max(1.0, images.size / (6 * BUDGET if self.lossy else BUDGET)))), height, width)
        blocks = images[:, : height // step * step, : width // step * step].reshape(
            n, height // step, step, width // step, step, -1
        )
        return (
            np.squeeze(blocks.mean((2, 4)).astype(np.uint8), -1)
            if images.shape[-1] == 1
            else blocks.mean((2, 4)).astype(np.uint8)
        )
