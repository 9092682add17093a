"""What the records of a piece depend on, as a digest: equal pieces give equal shards."""

import hashlib
import json
from collections.abc import Sequence

from components.sources.files import FilesReader
from components.sources.fingerprint import Digests
from components.sources.reading import Piece, Reader


def states(reader: Reader, pieces: Sequence[Piece], digests: Digests) -> dict[Piece, str]:
    """The digest of each piece beside the stage's settings. Empty for sources whose images are not files."""
    if not isinstance(reader, FilesReader) or reader.folder is None:
        return {}
    names = (name for piece in pieces for name in piece.names if name)
    contents = digests.of_files(reader.folder, names, set_aside=True)
    digests.save()
    return {piece: _state(reader, piece, [contents.get(name, "") for name in piece.names]) for piece in pieces}


def _state(reader: FilesReader, piece: Piece, contents: list[str]) -> str:
    records = [piece.names, piece.positions, piece.labels, contents, reader.facts(piece)]
    texts = [reader.names, reader.metadata, reader.shares, piece.splits, piece.of, records]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
