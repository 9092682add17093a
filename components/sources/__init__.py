"""Sources of labelled images, one kind per file; `reading` is their protocol.

reader = open_source(Folder(folder="photos"), Place(path="photos"))
"""

from components.sources.folder import FolderReader
from components.sources.reading import Place, Reader
from components.sources.table import TableReader
from components.sources.tfds import TfdsReader
from schemas.settings.source import Folder, SourceSettings, Table


def open_source(settings: SourceSettings, place: Place, labels: tuple[str, ...] = ()) -> Reader:
    """The reader of a source. `labels`: the names of the contract, if it states them."""
    if isinstance(settings, Folder):
        return FolderReader(settings, place, labels)
    if isinstance(settings, Table):
        return TableReader(settings, place, labels)
    return TfdsReader(settings, place)
