"""Sources of labelled images, one kind per file; `reading` is their protocol.

reader = open_source(Folder(folder="photos"), Place(path="photos"))
"""

from components.sources.custom import CustomReader
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
