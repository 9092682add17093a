"""Recall and false pairs of the search for near copies, on a folder of photos that are all different.

python -m tests.benchmarks.near_copies PHOTOS [SIDE]      # SIDE: as raw images of this size, such as 32
"""

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image

from components._data import duplicates, near_copies
from components._data.decoding import to_arrays
from components._data.shard_statistics import THUMBNAIL

MOST = 10_000
COPIES: dict[str, Callable[[PIL.Image.Image], PIL.Image.Image]] = {
    "quality 60": lambda image: image,
    "half the size": lambda image: image.resize((max(1, image.width // 2), max(1, image.height // 2))),
    "mirrored": lambda image: image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT),
}


def rows(contents: list[bytes], side: int | None) -> np.ndarray:
    """Hashes of encoded images, or of the same as raw images of one size."""
    if side:
        opened = (PIL.Image.open(io.BytesIO(content)).convert("RGB") for content in contents)
        images = np.stack([np.asarray(image.resize((side, side))) for image in opened])
    else:
        images = np.concatenate([to_arrays(np.array([c], object), THUMBNAIL) for c in contents])
    positions = np.arange(len(images))
    digests = duplicates.digests(map(np.ndarray.tobytes, images), positions)
    return near_copies.hashes(images, positions, digests[:, 0])


def main(folder: Path, side: int | None) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    contents = [path.read_bytes() for path in paths[:: -(-len(paths) // MOST)]]
    originals = rows(contents, side)
    start = time.perf_counter()
    within = near_copies.partners(originals, np.zeros(len(originals), int))[:, 0]
    pairs = {tuple(sorted((i, int(j)))) for i, j in enumerate(within) if j >= 0}
    print(f"{len(contents):,} photos, {len(originals):,} with a hash")
    print(f"{len(pairs):,} pairs among them, found in {time.perf_counter() - start:.2f} s")
    for one, other in list(pairs)[:10]:
        print("  ", *(paths[:: -(-len(paths) // MOST)][int(originals[i, 4])] for i in (one, other)))
    for name, changed in COPIES.items():
        copies = []
        for content in contents:
            written = io.BytesIO()
            image = PIL.Image.open(io.BytesIO(content)).convert("RGB")
            changed(image).save(written, "JPEG", quality=60 if name == "quality 60" else 90)
            copies.append(written.getvalue())
        both = np.concatenate([originals, copied := rows(copies, side)])
        split = np.repeat([0, 1], [len(originals), len(copied)])
        partner = near_copies.partners(both, split)[: len(originals), 1]
        expected = originals[:, 4] == both[partner, 4]
        found = (partner >= 0) & expected
        print(f"{name}: {found.sum() / len(contents):.4f} found, {((partner >= 0) & ~expected).sum():,} other pairs")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
