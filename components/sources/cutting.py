"""Where a list of files is cut into pieces, so that a change of some files changes only the pieces around them.

numbers = positions(["cat/1.jpg", "cat/2.jpg"])       # [5241690133521408, ...]: stable and unique
ends(numbers, sizes, 1000, 2**24)                     # for each piece, the place after its last file

A piece ends after a file whose number is the smallest of a run of files that is too large for one piece. So the cuts
depend on names and sizes nearby alone: not on the order in which files were added, nor on files further away than the
largest piece.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

from schemas.text import nfc

BITS = 53  # JSON and float64 hold such integers exactly


def positions(names: Iterable[str]) -> list[int]:
    """A number for each file. It depends on the file's name; if a name or number occurs twice, on those before it."""
    numbers: dict[int, None] = {}
    occurrences: Counter[str] = Counter()
    for name in map(nfc, names):
        while (number := _hash(name, occurrences[name])) in numbers:
            occurrences[name] += 1
        numbers[number] = None
    return list(numbers)


def _hash(name: str, occurrence: int) -> int:
    text = f"{name}\0{occurrence}" if occurrence else name
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) >> 64 - BITS


def ends(numbers: Sequence[int], sizes: Sequence[int], most_files: int, most_bytes: int) -> list[int]:
    """For each piece, the place after its last file. `numbers`: unique. A file larger than a piece is a piece.

    The runs are those of a Cartesian tree: a file's run reaches to the nearest files with smaller numbers. The next
    file counts too, because it may end the piece.
    """
    count, size_before = len(numbers), [0, *accumulate(sizes)]
    first, cuts = [0] * count, list[int]()  # the place where each file's run begins
    rising: list[int] = []  # places whose run has not ended yet
    for place in range(count + 1):
        while rising and (place == count or numbers[rising[-1]] > numbers[place]):
            file = rising.pop()
            after = min(place + 1, count)
            size = size_before[after] - size_before[first[file]]
            if after - first[file] > most_files or (size > most_bytes and after - first[file] > 1):
                cuts.append(file + 1)
        if place < count:
            first[place] = rising[-1] + 1 if rising else 0
            rising.append(place)
    return sorted({*cuts, count}) if count else []
