"""Source `table`: a row for each image, in a CSV, JSON Lines or Parquet file.

The image is the path of a file, relative to the table's folder, or its content: bytes, or a struct with the field
`bytes`, as image datasets of Hugging Face store it.
"""

import bisect
import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etils import epy

from components.sources.files import path_of, read
from components.sources.fingerprint import Digests, Fingerprint
from components.sources.reading import Place
from components.sources.rows import Rows, RowsReader
from schemas.errors import DataError
from schemas.settings.source import Table
from schemas.text import nfc, printable

with epy.lazy_imports():
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.json as pa_json
    import pyarrow.parquet as pq

SUFFIXES = (".csv", ".jsonl", ".parquet")
BATCH_IMAGES = 16  # images of a Parquet file that are read at a time: a row group may hold all of them
BLOCK = 2**24  # bytes of a CSV file that are parsed at a time: a row may not be larger


@dataclass(frozen=True)
class TableRows(Rows):
    """The columns of a table, without the content of images."""

    images: tuple[str, ...] | None  # paths; None if the table holds the content


@dataclass
class TableReader(RowsReader):
    """Reads the rows of a table."""

    settings: Table
    # Where this worker's last piece stopped, and the values of the rows from there. A row group can be read only from
    # its start, so this reads it once instead of once for every piece.
    stopped: tuple[int, Iterator[Any]] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def rows(self) -> TableRows:
        return rows_of(self.path, self.settings)

    @property
    def images(self) -> tuple[str, ...] | None:
        return self.rows.images

    @property
    def folder(self) -> Path | None:
        return None if self.images is None else self.path.parent

    def contents(self, wanted: list[int]) -> Iterator[tuple[str, bytes | DataError]]:
        images = self.rows.images
        if images is None:
            yield from self._stored(wanted)
        for row in wanted if images else ():
            name = (images or ())[row]
            title = printable(name) or f"row {row:,} of {self.path.name}"
            yield title, read(str(self.path.parent / name), title) if name else DataError(f"{title} names no image")

    def _stored(self, wanted: list[int]) -> Iterator[tuple[str, bytes | DataError]]:
        """The images that a Parquet file holds. `wanted`: in order.

        Where `bytes` is empty, Hugging Face's datasets name a file in `path`.
        """
        file = pq.ParquetFile(self.path)
        groups = range(file.num_row_groups)
        starts = [0, *itertools.accumulate(file.metadata.row_group(group).num_rows for group in groups)]
        (at, values), self.stopped = self.stopped or (len(self.rows.labels), iter(())), None
        for row in wanted:
            group = bisect.bisect_right(starts, row) - 1
            if not starts[group] <= at <= row:
                at, values = starts[group], _values(file, self.settings.image, group)
            value = next(itertools.islice(values, row - at, None))
            at = row + 1
            path = value.get("path") if isinstance(value, dict) else None
            content = value.get("bytes") if isinstance(value, dict) else value
            title = f"row {row:,} of {self.path.name}"
            if not content and path:
                yield printable(path), read(str(self.path.parent / path), printable(path))
            else:
                yield title, content or DataError(f"{title} holds no image")
        self.stopped = (at, values)


def fingerprint(settings: Table, place: Place, digests: Digests) -> Fingerprint:
    """The table and the files that it names. One that cannot be read does not end the run: the reader sets it aside.

    Raises:
        DataError: it is no table.
    """
    path = path_of(settings, place)
    if not path.is_file():
        return Fingerprint(path, {})
    images = rows_of(path, settings).images
    named = _linked(path, settings.image) if images is None else [name for name in images if name]
    table = digests.of_files(path.parent, [path.name])
    return Fingerprint(path, table | digests.of_files(path.parent, named, set_aside=True))


def _linked(path: Path, column: str) -> list[str]:
    """The existing files that a Parquet file names as Hugging Face does; none if it holds all images."""
    file = pq.ParquetFile(path)
    metadata = file.metadata
    chunks = [metadata.row_group(group).column(i) for group in range(metadata.num_row_groups)
              for i in range(metadata.num_columns)]  # fmt: skip
    stored = [chunk.statistics for chunk in chunks if chunk.path_in_schema == f"{column}.bytes"]
    if all(each is not None and each.has_null_count and not each.null_count for each in stored):
        return []
    values = file.read(columns=[f"{column}.path"])
    column_values: list[Any] = values[column].to_pylist() if values.num_columns else []
    paths: list[str] = [value["path"] for value in column_values if value and value.get("path")]
    return [name for name in paths if (path.parent / name).is_file()]


def rows_of(path: Path, settings: Table) -> TableRows:
    """The columns of a table but the content of images.

    Raises:
        DataError: it is missing, no table, or lacks a column.
    """
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        cause = f"source.table {path} is not a file of {', '.join(SUFFIXES)}"
        raise DataError(cause, "Name it with --set source.table=FILE.")
    status = path.stat()
    return _rows_at(path, settings.model_dump_json(), (status.st_size, status.st_mtime_ns))


@functools.lru_cache(4)
def _rows_at(path: Path, stated: str, state: tuple[int, int]) -> TableRows:
    """`stated`: the settings as JSON. `state`: of the file, so that a table that was changed is read again."""
    del state
    settings = Table.model_validate_json(stated)
    try:
        names, columns = _columns(path, settings)
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]  # pyarrow's cause is the first line; the text of the row follows
        raise DataError(f"source.table {path} cannot be read: {reason}", "Fix the file.") from error
    for setting, column in (("image", settings.image), ("label", settings.label)):
        if column not in names:
            remedy = f"It has {', '.join(names)}; name it in source.{setting}, or with --{setting} of init."
            raise DataError(f"source.table {path} has no column {column}", remedy)
    labels = columns[settings.label]
    if unlabelled := [row for row, label in enumerate(labels) if label is None or label == ""]:
        raise DataError(f"row {unlabelled[0]:,} of {path} has no label", "Label it, or remove the row.")
    if not all(isinstance(label, str) or (isinstance(label, int) and label >= 0) for label in labels):
        raise DataError(f"column {settings.label} of {path} holds neither names nor numbers from 0", "Fix the labels.")
    if missing := [name for name in settings.metadata or () if name not in columns]:
        cause = f"source.metadata names {missing[0]}, which is no column of text or numbers of {path}"
        raise DataError(cause, f"It has {', '.join(names)}.")
    images = columns.get(settings.image)
    carried = columns.keys() - {*settings.columns} if settings.metadata is None else settings.metadata
    return TableRows(
        tuple(nfc(label) if isinstance(label, str) else label for label in labels),
        _texts(columns.get(settings.split, ())),
        _texts(columns.get(settings.group, ())),
        {name: _texts(columns[name]) for name in sorted(carried)},
        None if images is None else _texts(images),
    )


def _texts(values: Any) -> tuple[str, ...]:
    return tuple("" if value is None else str(value) for value in values)


def _columns(path: Path, settings: Table) -> tuple[list[str], dict[str, list[Any]]]:
    """The names of all columns, and the values of those that are read: not of images that are stored in the table."""
    if path.suffix.lower() == ".parquet":
        schema = pq.read_schema(path)
        _check_names(path, schema.names)
    else:
        table = _csv(path, settings.label) if path.suffix.lower() == ".csv" else pa_json.read_json(path)
        schema = table.schema
    wanted = {*schema.names} if settings.metadata is None else {*settings.columns, *settings.metadata}
    read = [field.name for field in schema if field.name in wanted and _is_scalar(field.type)]
    if path.suffix.lower() == ".parquet":
        table = pq.read_table(path, columns=read)
    return list(schema.names), {name: table[name].to_pylist() for name in read}


def _check_names(path: Path, names: Sequence[str]) -> None:
    if len({*names}) < len(names):
        name: str = next(name for i, name in enumerate(names) if name in names[:i])
        called = f"called {name}" if name else "without a name"
        raise DataError(f"source.table {path} has two columns {called}", "Rename or remove one of them.")


def _csv(path: Path, label: str) -> "pa.Table":
    """The columns as text, so that 007 stays 007; labels as numbers, if all of them are. Quoted text may have lines."""
    read, parse = pa_csv.ReadOptions(block_size=BLOCK), pa_csv.ParseOptions(newlines_in_values=True)
    with pa_csv.open_csv(path, read_options=read, parse_options=parse) as reader:
        names = reader.schema.names
    _check_names(path, names)
    types = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    table = pa_csv.read_csv(path, read_options=read, parse_options=parse, convert_options=types)
    if label in names and (numbers := _numbers(table[label].to_pylist())):
        table = table.set_column(names.index(label), label, [numbers])
    return table


def _numbers(values: list[str]) -> list[int] | list[float] | None:
    """The values as numbers, if all are numbers as they are usually written: not 007."""
    try:
        if all(str(int(value)) == value for value in values):
            return list(map(int, values))
    except ValueError:
        pass
    try:
        return None if all(value.isdecimal() for value in values) else list(map(float, values))
    except ValueError:
        return None


def _is_scalar(kind: Any) -> bool:
    """Whether values are text, numbers, booleans or times."""
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return not (pa.types.is_nested(kind) or any(is_kind(kind) for is_kind in binary))


def _values(file: Any, column: str, group: int) -> Iterator[Any]:
    """The values of a column from the start of a row group on, some images at a time."""
    for later in range(group, file.num_row_groups):
        for batch in file.iter_batches(BATCH_IMAGES, row_groups=[later], columns=[column]):
            yield from batch[0].to_pylist()
