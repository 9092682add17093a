"""Near copies: the same photo re-encoded, resized or mirrored. Found by a perceptual hash of thumbnails.

rows = hashes(thumbnails, positions, digests)  # uint64 [images, 6], saved by shard
partners(rows, split)                          # int64 [images, splits]: rows of near copies

The hash is the signs of the 112 lowest frequencies of the discrete cosine transform of the grey image (pHash,
Zauner 2010). docs/decisions/near-copies.md states how many copies it finds.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from etils import epy

with epy.lazy_imports():
    import numpy as np

Pair = tuple[str, int, str, int]  # split and position of an image, split and position of its near copy
MAX_BITS = 6  # bits in which near copies differ: fewer than WORDS, so that at least one word is equal
WORDS = 7  # of 16 bits
SIDE = 15  # frequencies in each direction, of which the lowest are used
SMALLEST = 32  # pixels a side of raw colour images with a hash: digits of 28 x 28, or in grey, are all alike
FLAT = 16  # levels: images whose thumbnail varies less have no hash, because noise would decide it


def hashes(pictures: "np.ndarray", positions: "np.ndarray", digests: "np.ndarray") -> "np.ndarray":
    """uint64 [images, 6]: the hash, that of the mirrored image, two numbers each, the position, and the digest.

    `pictures`: uint8 [n, height, width, 3], of one size. Images of almost one colour are left out.
    """
    grey = pictures @ np.array([299.0, 587.0, 114.0])
    flat = np.ptp(grey.reshape(len(grey), -1), axis=1) < 1000 * FLAT
    (height, width), (rows, columns) = pictures.shape[1:3], _lowest()
    # All values are integers below 2**53, so floats are exact and every machine computes the same signs.
    frequencies = (_waves(height) @ grey @ _waves(width).T)[:, rows, columns]
    mirrored = np.where(columns % 2, -frequencies, frequencies)  # of odd waves, a mirrored image has the other sign
    packed = [_packed(each > 0) for each in (frequencies, mirrored)]
    return np.column_stack([*packed, positions.astype(np.uint64), digests])[~flat]


def large_raw(columns: "dict[str, np.ndarray]") -> "np.ndarray | None":
    """Raw images of a batch, uint8 [n, height, width, 3], if they have one size that is large enough, and colours."""
    sides = np.unique(np.stack([columns[f"image/{side}"] for side in ("height", "width", "channels")], axis=1), axis=0)
    if len(sides) != 1 or sides[0][:2].min() < SMALLEST or sides[0][2] < 3:
        return None
    images, size = columns["image"].tolist(), int(sides[0].prod())
    if any(len(image) != size for image in images):
        return None
    return np.frombuffer(b"".join(images), np.uint8).reshape(-1, *sides[0])[..., :3]


def partners(rows: "np.ndarray", split: "np.ndarray") -> "np.ndarray":
    """int64 [rows, splits]: for each row and split, a row of that split that is a near copy; -1 for none.

    `split`: the number of the split of each row. Within a split, only the first of exact copies takes part. The first
    partner ends the search, so that memory and time do not grow with the number of pairs: all frames of a video may be
    near copies of each other.
    """
    plain, mirrored = _words(rows[:, :2]), _words(rows[:, 2:4])
    partner = np.full((len(rows), split.max(initial=-1) + 1), -1)
    for target in np.unique(split):
        first = _first_copies(rows, split == target)
        members = np.tile(first, 2)
        hashed = np.concatenate([plain[first], mirrored[first]])
        may_seek = split != target
        may_seek[first] = True
        for word in range(WORDS):
            order = np.argsort(hashed[:, word], kind="stable")
            values = hashed[order, word]
            seeking = np.flatnonzero(may_seek & (partner[:, target] < 0))
            place = np.searchsorted(values, plain[seeking, word])
            while len(seeking):
                equal = values[np.minimum(place, len(values) - 1)] == plain[seeking, word]
                equal &= place < len(values)
                seeking, place = seeking[equal], place[equal]
                near = np.bitwise_count(plain[seeking] ^ hashed[order[place]]).sum(1) <= MAX_BITS
                near &= members[order[place]] != seeking
                partner[seeking[near], target] = members[order[place[near]]]
                seeking, place = seeking[~near], place[~near] + 1
    return partner


def _first_copies(rows: "np.ndarray", chosen: "np.ndarray") -> "np.ndarray":
    """Positions of the chosen rows, without copies of an earlier one."""
    numbers = np.flatnonzero(chosen)
    return np.sort(numbers[np.unique(rows[numbers, 5], return_index=True)[1]])


def found(parts: Mapping[str, Iterable[Path]]) -> dict[Pair, tuple[Path, Path]]:
    """Near copies across splits, then within splits, each with the files of both. `parts`: files of `hashes` by split.

    Of each image, one near copy in each split.
    """
    files = [(number, path) for number, paths in enumerate(parts.values()) for path in paths if path.exists()]
    loaded = [np.load(path) for _, path in files]
    rows = np.concatenate([np.empty((0, 6), np.uint64), *loaded])
    split = np.repeat([number for number, _ in files], [len(each) for each in loaded]).astype(np.int64)
    partner, names = partners(rows, split), list(parts)
    one, other = np.nonzero(partner >= 0)
    places = [
        (names[number], position, path)
        for (number, path), each in zip(files, loaded, strict=True)
        for position in each[:, 4].tolist()
    ]
    pairs = zip(one.tolist(), partner[one, other].tolist(), strict=True)
    both = {tuple(sorted((places[a], places[b]))) for a, b in pairs}
    ordered = sorted(both, key=lambda pair: (pair[0][0] == pair[1][0], pair))
    return {(*first[:2], *second[:2]): (first[2], second[2]) for first, second in ordered}


def counts(pairs: Iterable[Pair], split: str) -> Counter[str]:
    """The number of images of a split that have a near copy in each split, its own included."""
    ways = {each for one, i, other, j in pairs for each in ((one, i, other), (other, j, one))}
    return Counter(other for one, _, other in ways if one == split)


@functools.cache
def _waves(side: int) -> "np.ndarray":
    """float64 [SIDE, side]: cosines of the lowest frequencies, as integers."""
    angles = np.pi * np.arange(SIDE)[:, None] * (np.arange(side) + 0.5) / side
    return np.round(2**8 * np.cos(angles))


@functools.cache
def _lowest() -> "tuple[np.ndarray, np.ndarray]":
    """Rows and columns of the 112 lowest frequencies, without the mean."""
    order = sorted(np.ndindex(SIDE, SIDE), key=lambda pair: (sum(pair), pair))
    rows, columns = np.array(order[1 : 1 + 16 * WORDS]).T
    return rows, columns


def _packed(bits: "np.ndarray") -> "np.ndarray":
    """uint64 [n, 2] of bool [n, 112]."""
    padded = np.pad(bits, ((0, 0), (0, 128 - bits.shape[1])))
    return np.ascontiguousarray(np.packbits(padded, axis=1)).view(np.uint64)


def _words(packed: "np.ndarray") -> "np.ndarray":
    """uint16 [n, 7] of uint64 [n, 2]."""
    return np.ascontiguousarray(packed).view(np.uint16)[:, :WORDS]
