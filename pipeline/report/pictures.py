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

BUDGET = 1_000_000  # bytes of all files; keeps a page below 3 MB, since base64 adds a third
QUALITY = 80  # of JPEG, which takes less than a sixth of the bytes of pixels
PHOTO = 32  # pixels: smaller images look blurred as JPEG
SIDE = 84  # CSS pixels, approximately; three times an MNIST digit


@dataclass(frozen=True)
class Pictures:
    """Images, uint8 [n, height, width, channels]. Small ones are shown at an integer multiple of their size.

    lossy: as JPEG, for thumbnails of photos. Otherwise PNG, which shows the pixels that the model sees.
    """

    images: Any
    lossy: bool = False

    @classmethod
    def of(cls, images: "np.ndarray | None", *, lossy: bool | None = None) -> "Pictures | None":
        """The images of a gallery, or None if there are none. `lossy` by default: if they would not fit as PNG."""
        if images is None or images.ndim != 4 or not images.size:
            return None
        return cls(images, images.size > BUDGET and min(images.shape[1:3]) >= PHOTO if lossy is None else lossy)

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
        kind = "jpeg" if self.lossy else "png"
        return [f"data:image/{kind};base64,{base64.b64encode(each).decode()}" for each in self._encoded]

    @property
    def _encoded(self) -> "list[bytes]":
        """The images as files, reduced until they fit the budget."""
        _, height, width, _ = self.images.shape
        pixels = 6 * BUDGET if self.lossy else BUDGET
        step = min(math.ceil(math.sqrt(max(1.0, self.images.size / pixels))), height, width)
        while True:
            files = [self._file(image) for image in self._small(step)]
            if sum(map(len, files)) <= BUDGET or step == min(height, width):
                return files
            step += 1

    def _file(self, image: "np.ndarray") -> bytes:
        return bytes(imagecodecs.jpeg8_encode(image, level=QUALITY) if self.lossy else imagecodecs.png_encode(image))

    def _small(self, step: int) -> Any:
        """The images as grey or RGB, reduced by averaging blocks of `step` times `step` pixels."""
        n, height, width, channels = self.images.shape
        images = self.images[..., :3] if channels >= 3 else self.images[..., :1]
        blocks = images[:, : height // step * step, : width // step * step].reshape(
            n, height // step, step, width // step, step, -1
        )
        small = blocks.mean((2, 4)).astype(np.uint8)
        return np.squeeze(small, -1) if small.shape[-1] == 1 else small
