"""source_data: looks up, while planning, what the configured dataset is now. Imports neither TFDS nor TensorFlow."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from components.sources import fingerprint_of, open_source
from components.sources.fingerprint import Digests
from components.sources.reading import Place
from components.sources.rows import RowsReader, check_slices
from pipeline.engine.component import Unkeyed, component
from schemas.artifacts import SourceData
from schemas.errors import ConfigurationError, EnvironmentFailure, is_transient
from schemas.settings.source import SourceSettings, Tfds


@component(kind="resolver")
def source_data(
    *,
    source: SourceSettings,
    place: Unkeyed[Place],
    digests: Unkeyed[Path | None] = None,
    sliced: Unkeyed[Sequence[str]] = (),
) -> SourceData:
    """The version of the dataset, and the contents of all its files, as each kind of source states them.

    The same files in another folder are the same data. `digests` caches digests between runs, so that unchanged files
    are not read again. `sliced`: columns of a table that the evaluation slices by.

    Raises:
        ConfigurationError: a folder or file cannot be read, or there is no such column.
        EnvironmentFailure: the network or the disk failed.
    """
    kept = Digests(digests)
    try:
        state = fingerprint_of(source, place, kept)
        reader = open_source(source, place)
        if state.contents and isinstance(reader, RowsReader):
            check_slices(reader.where, reader.rows, sliced)
    except OSError as error:
        setting = "source.data_dir" if isinstance(source, Tfds) else f"source.{source.key}"
        cause = f"{error.filename} cannot be read: {error.strerror}"
        if is_transient(error):
            raise EnvironmentFailure(cause, "Run again later.") from error
        raise ConfigurationError(cause, f"Fix its permissions, or name another {setting}.") from error
    kept.save()
    identity = hashlib.sha256(json.dumps([state.name, state.version, state.contents]).encode()).hexdigest()
    return SourceData(
        state.folder,
        version=state.version,
        files=len(state.contents),
        contents=_digest(state.contents),
        digest=identity,
    )


def _digest(contents: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest() if contents else ""
