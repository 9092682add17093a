"""Near copies: the same photo re-encoded, resized or mirrored. Found by a perceptual hash of thumbnails.

rows = hashes(thumbnails, positions)  # uint64 [images, 5], saved by shard
partners(rows, split)                 # int64 [images, splits]: rows of near copies

The hash is the signs of the 112 lowest frequencies of the grey thumbnail's discrete cosine transform (pHash, Zauner
2010). On 1,399 photos, copies of JPEG quality 60, half the size, or mirrored differ in at most 4 bits; of a million
pairs of other photos, none differs in fewer than 26.
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
FLAT = 16  # levels: images whose thumbnail varies less have no hash, because noise would decide it


def hashes(thumbnails: "np.ndarray", positions: "np.ndarray") -> "np.ndarray":
    """uint64 [images, 5]: the hash, that of the mirrored image, two numbers each, and the position.

    `thumbnails`: uint8 [n, side, side, 3]. Images of almost one colour are left out.
    """
    grey = thumbnails @ np.array([299.0, 587.0, 114.0])
    flat = np.ptp(grey.reshape(len(grey), -1), axis=1) < 1000 * FLAT
    waves, (rows, columns) = _waves(thumbnails.shape[1]), _lowest()
    # All values are integers below 2**53, so floats are exact and every machine computes the same signs.
    frequencies = (waves @ grey @ waves.T)[:, rows, columns]
    mirrored = np.where(columns % 2, -frequencies, frequencies)  # of odd waves, a mirrored image has the other sign
    packed = [_packed(each > 0) for each in (frequencies, mirrored)]
    return np.column_stack([*packed, positions.astype(np.uint64)])[~flat]


def partners(rows: "np.ndarray", split: "np.ndarray") -> "np.ndarray":
    """int64 [rows, splits]: for each row and other split, a row of that split that is a near copy; -1 for none.

    `split`: the number of the split of each row. The first partner ends the search, so that memory and time do not grow
    with the number of pairs: all frames of a video may be near copies of each other.
    """
    plain, mirrored = _words(rows[:, :2]), _words(rows[:, 2:4])
    partner = np.full((len(rows), split.max(initial=-1) + 1), -1)
    for target in np.unique(split):
        members = np.tile(np.flatnonzero(split == target), 2)
        hashed = np.concatenate([plain[members[: len(members) // 2]], mirrored[members[len(members) // 2 :]]])
        for word in range(WORDS):
            order = np.argsort(hashed[:, word], kind="stable")
            values = hashed[order, word]
            seeking = np.flatnonzero((split != target) & (partner[:, target] < 0))
            place = np.searchsorted(values, plain[seeking, word])
            while len(seeking):
                equal = values[np.minimum(place, len(values) - 1)] == plain[seeking, word]
                equal &= place < len(values)
                seeking, place = seeking[equal], place[equal]
                near = np.bitwise_count(plain[seeking] ^ hashed[order[place]]).sum(1) <= MAX_BITS
                partner[seeking[near], target] = members[order[place[near]]]
                seeking, place = seeking[~near], place[~near] + 1
    return partner


def across(parts: Mapping[str, Iterable[Path]]) -> dict[Pair, tuple[Path, Path]]:
    """Near copies in two splits, sorted, each with the files of both. `parts`: files of `hashes` by split.

    Of each image, one near copy in each other split.
    """
    files = [(number, path) for number, paths in enumerate(parts.values()) for path in paths if path.exists()]
    loaded = [np.load(path) for _, path in files]
    rows = np.concatenate([np.empty((0, 5), np.uint64), *loaded])
    split = np.repeat([number for number, _ in files], [len(each) for each in loaded]).astype(np.int64)
    partner, names = partners(rows, split), list(parts)
    one, other = np.nonzero(partner >= 0)
    places = [
        (names[number], position, path)
        for (number, path), each in zip(files, loaded, strict=True)
        for position in each[:, 4].tolist()
    ]
    pairs = zip(one.tolist(), partner[one, other].tolist(), strict=True)
    ordered = sorted({tuple(sorted((places[a], places[b]))) for a, b in pairs})
    return {(*first[:2], *second[:2]): (first[2], second[2]) for first, second in ordered}


def counts(pairs: Iterable[Pair], split: str) -> Counter[str]:
    """The number of images of a split that have a near copy in each other split."""
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
