"""Writing what a reader reads: a shard of each split, and what could not be read.

write_piece(piece, out=folder, reader=reader, encoding="raw")     # {folder / "train-00000-of-00001.tfrecord": 4000}
take_unreadable(folder)                                          # [("red/0001.jpg", "red/0001.jpg cannot be decoded")]
"""

import bisect
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from etils import epy

from components._data import shard_files
from components._data.images import image_hash
from components.sources.reading import Batch, Piece, PieceReader
from schemas import disk, example
from schemas.contract import Encoding
from schemas.errors import DataError
from schemas.settings.source import Unreadable

with epy.lazy_imports():
    import numpy as np

UNREADABLE = "unreadable-{}-{}.json"  # of one piece: its split and name
# The reason of a file that is listed with the unreadable images, and does not count as one: a README, a licence.
NO_IMAGE = "is no image and in no folder of a label"


def write_piece(piece: Piece, *, out: Path, reader: PieceReader, encoding: Encoding) -> dict[Path, int]:
    """The number of records in each shard: one of each split that the piece feeds."""
    drawn_first = [split for split in reader.shares if split in piece.splits]
    targets = [*drawn_first, *(split for split in piece.splits if split not in drawn_first)]
    bounds = _bounds([reader.shares[split] for split in targets[:-1]])
    shards = [out / shard_name(piece, target) for target in targets]
    counts = [0] * len(targets)
    encode = example.encoder(*reader.names, piece.of, reader.metadata)
    unreadable: list[tuple[str, str]] = []
    with ExitStack() as stack:
        write = [stack.enter_context(shard_files.writer(shard)).write for shard in shards]
        for batch in reader.read(piece, encoding):
            unreadable += batch.unreadable
            drawn_by = _drawn_by(batch) if bounds else itertools.repeat(0)
            first = piece.first + sum(counts)
            positions = [position for position, _ in batch.sources] or itertools.count(first)
            names = [name for _, name in batch.sources] or itertools.repeat("")
            metadata = batch.metadata or itertools.repeat(())
            records = map(encode, batch.images, batch.labels, positions, batch.contents, metadata, names)
            for record, drawn in zip(records, drawn_by, strict=False):
                target = bisect.bisect_right(bounds, drawn)
                write[target](record)
                counts[target] += 1
    for shard, count in zip(shards, counts, strict=True):
        shard_files.write_count(shard, count)
    if unreadable:
        disk.atomic_write_text(out / UNREADABLE.format(piece.of, piece.name), json.dumps(unreadable))
    return dict(zip(shards, counts, strict=True))


def shard_name(piece: Piece, split: str) -> str:
    return f"{split}-{piece.name}.tfrecord"


def take_unreadable(out: Path, piece: Piece | None = None) -> list[tuple[str, str]]:
    """(file, reason) of a piece, or of all pieces, sorted. Removes the pieces' own files."""
    unreadable: list[tuple[str, str]] = []
    own = [out / UNREADABLE.format(piece.of, piece.name)] if piece else []
    for path in filter(Path.exists, own) if piece else out.glob(UNREADABLE.format("*", "*")):
        unreadable += [(file, reason) for file, reason in json.loads(path.read_text(encoding="utf-8"))]
        path.unlink()
    return sorted(unreadable)


def check_readable(unreadable: list[tuple[str, str]], readable: int, setting: str, allowed: Unreadable) -> None:
    """Raises DataError if more images are unreadable than allowed. `setting`: its name."""
    unreadable = [(file, reason) for file, reason in unreadable if not reason.endswith(NO_IMAGE)]
    share = len(unreadable) / max(1, readable + len(unreadable))
    if not unreadable or (allowed.then == "set_aside" and share <= allowed.at_most):
        return
    others = f", and {len(unreadable) - 1:,} more" if len(unreadable) > 1 else ""
    counted = f"{len(unreadable):,} image{'s'[: len(unreadable) != 1]} ({share:.1%}) cannot be read"
    limit = f"{setting} allows {f'{allowed.at_most:.1%}' if allowed.then == 'set_aside' else 'none'}"
    raise DataError(f"{counted}; {limit}: {unreadable[0][1]}{others}", f"Fix or remove them, or change {setting}.")


def _drawn_by(batch: Batch) -> Iterator[int]:
    """64 bits that an image's split is drawn by: a hash of its group, or of its pixels."""
    groups = batch.groups or itertools.repeat("")
    for image, group in zip(batch.images, groups, strict=False):
        yield image_hash(np.frombuffer(group.encode(), np.uint8) if group else image)


def _bounds(shares: Sequence[float]) -> list[float]:
    """For all splits but the last, the hash below which an image goes to it."""
    bounds: list[float] = []
    taken = 0.0
    for share in shares:
        taken += (1 - taken) * share
        bounds.append(taken * 2**64)
    return bounds
