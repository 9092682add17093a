"""Sources of labelled images, one kind per file; `reading` is their protocol.

reader = open_source(Folder(folder="photos"), Place(path="photos"))
state = fingerprint_of(Folder(folder="photos"), Place(path="photos"), Digests(None))
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from components.sources import custom, folder, idx, table, tfds, tfrecord
from components.sources.fingerprint import Digests, Fingerprint
from components.sources.reading import Place, Reader
from schemas.settings.source import Custom, Folder, Idx, SourceSettings, Table, Tfds, Tfrecord


class Kind(NamedTuple):
    """What a file of this folder writes for a kind of source."""

    reader: Callable[[Any, Place, tuple[str, ...]], Reader]  # of the settings, with the names of the contract's labels
    fingerprint: Callable[[Any, Place, Digests], Fingerprint]  # the state of the data, see `fingerprint_of`


KINDS: dict[type[SourceSettings], Kind] = {
    Tfds: Kind(lambda settings, place, _: tfds.TfdsReader(settings, place), tfds.fingerprint),  # has its own labels
    Folder: Kind(folder.FolderReader, folder.fingerprint),
    Table: Kind(table.TableReader, table.fingerprint),
    Tfrecord: Kind(tfrecord.TfrecordReader, tfrecord.fingerprint),
    Idx: Kind(idx.IdxReader, idx.fingerprint),
    Custom: Kind(custom.CustomReader, custom.fingerprint),
}


def open_source(settings: SourceSettings, place: Place, labels: tuple[str, ...] = ()) -> Reader:
    """The reader of a source. `labels`: the names of the contract, if it states them."""
    return KINDS[type(settings)].reader(settings, place, labels)


def fingerprint_of(settings: SourceSettings, place: Place, digests: Digests) -> Fingerprint:
    """The state of a source's data while planning. Imports neither TFDS nor TensorFlow.

    Raises:
        OSError: a folder or file cannot be read.
        DataError: the data states something wrong that shows without reading images.
    """
    return KINDS[type(settings)].fingerprint(settings, place, digests)
