"""Near copies: the same photo re-encoded, resized or mirrored. Found by a perceptual hash of thumbnails.

rows = hashes(thumbnails, positions)          # uint64 [images, 5], saved by shard
pairs(rows)                                   # int64 [pairs, 2]: rows of near copies

The hash is the signs of the 112 lowest frequencies of the grey thumbnail's discrete cosine transform (pHash, Zauner
2010). On 1,399 photos, copies of JPEG quality 60, half the size, or mirrored differ in at most 4 bits; of a million
pairs of other photos, none differs in fewer than 26.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from etils import epy

with epy.lazy_imports():
    import numpy as np

MOST = 6  # bits in which near copies differ: fewer than WORDS, so that at least one word is equal
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


def pairs(rows: "np.ndarray") -> "np.ndarray":
    """int64 [pairs, 2]: numbers of rows that are near copies, each pair once, the lower number first."""
    count = len(rows)
    words = np.concatenate([_words(rows[:, :2]), _words(rows[:, 2:4])])  # those of mirrored images after the others
    found = np.concatenate([np.empty((0, 2), np.int64), *(_alike(words, word, count) for word in range(WORDS))])
    found = np.sort(found % count, axis=1) if count else found
    return np.unique(found[found[:, 0] != found[:, 1]], axis=0)


def _alike(words: "np.ndarray", word: int, count: int) -> "np.ndarray":
    """Pairs of rows with one equal word that differ in few bits. At least one of them is not mirrored."""
    order = np.argsort(words[:, word], kind="stable")
    values, found = words[order, word], [np.empty((0, 2), np.int64)]
    for distance in range(1, len(order)):
        same = np.flatnonzero(values[distance:] == values[:-distance])
        if not len(same):
            break
        one, other = order[same], order[same + distance]
        kept = (one < count) | (other < count)
        one, other = one[kept], other[kept]
        bits = np.bitwise_count(words[one] ^ words[other]).sum(1)
        found.append(np.column_stack([one, other])[bits <= MOST])
    return np.concatenate(found)


def across(parts: dict[str, list[Path]]) -> Iterator[tuple[str, int, str, int]]:
    """(split, position, other split, position) of near copies in two splits, in the order of their names.

    `parts`: files of `hashes` by split.
    """
    read = [(split, np.load(path)) for split, paths in parts.items() for path in paths if path.exists()]
    if not read:
        return
    rows = np.concatenate([each for _, each in read])
    split = np.repeat([name for name, _ in read], [len(each) for _, each in read])
    for each in pairs(rows).tolist():
        if split[each[0]] != split[each[1]]:
            one, other = sorted((str(split[row]), int(rows[row, 4])) for row in each)
            yield (*one, *other)


def counts(found: Iterable[tuple[str, int, str, int]], split: str) -> Counter[str]:
    """The number of images of a split that have a near copy in each other split."""
    ways = {each for one, i, other, j in found for each in ((one, i, other), (other, j, one))}
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
