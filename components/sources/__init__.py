"""Sources of labelled images, one kind per file; `reading` is their protocol.

reader = open_source(Folder(folder="photos"), Place(path="photos"))
state = fingerprint_of(Folder(folder="photos"), Place(path="photos"), Digests(None))
"""

from components.sources import custom, folder, idx, table, tfds, tfrecord
from components.sources.custom import CustomReader
from components.sources.fingerprint import Digests, Fingerprint
from components.sources.folder import FolderReader
from components.sources.idx import IdxReader
from components.sources.reading import Place, Reader
from components.sources.table import TableReader
from components.sources.tfds import TfdsReader
from components.sources.tfrecord import TfrecordReader
from schemas.settings.source import Custom, Folder, Idx, SourceSettings, Table, Tfrecord


def open_source(settings: SourceSettings, place: Place, labels: tuple[str, ...] = ()) -> Reader:
    """The reader of a source. `labels`: the names of the contract, if it states them."""
    match settings:
        case Folder():
            return FolderReader(settings, place, labels)
        case Table():
            return TableReader(settings, place, labels)
        case Tfrecord():
            return TfrecordReader(settings, place, labels)
        case Idx():
            return IdxReader(settings, place, labels)
        case Custom():
            return CustomReader(settings, place, labels)
    return TfdsReader(settings, place)


def fingerprint_of(settings: SourceSettings, place: Place, digests: Digests) -> Fingerprint:
    """The state of a source's data while planning. Imports neither TFDS nor TensorFlow.

    Raises:
        OSError: a folder or file cannot be read.
        DataError: the data states something wrong that shows without reading images.
    """
    match settings:
        case Folder():
            return folder.fingerprint(settings, place, digests)
        case Table():
            return table.fingerprint(settings, place, digests)
        case Tfrecord():
            return tfrecord.fingerprint(settings, place, digests)
        case Idx():
            return idx.fingerprint(settings, place, digests)
        case Custom():
            return custom.fingerprint(settings, place, digests)
    return tfds.fingerprint(settings, place, digests)
