"""Source `table`: a row for each image, in a CSV, JSON Lines or Parquet file.

The image is the path of a file, relative to the table's folder, or its content: bytes, or a struct with the field
`bytes`, as image datasets of Hugging Face store it.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etils import epy

from components.sources.files import read
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


@dataclass(frozen=True)
class TableRows(Rows):
    """The columns of a table, without the content of images."""

    images: tuple[str, ...] | None  # paths; None if the table holds the content


@dataclass
class TableReader(RowsReader):
    """Reads the rows of a table."""

    settings: Table

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
            yield from _contents(self.path, self.settings.image, wanted)
        for row in wanted if images else ():
            name = (images or ())[row]
            title = printable(name) or f"row {row:,} of {self.path.name}"
            yield title, read(self.path.parent / name, title) if name else DataError(f"{title} names no image")


def files_of(path: Path, settings: Table) -> list[str]:
    """The table and the files that it names, relative to its folder.

    Raises:
        DataError: it is no table.
    """
    return [path.name, *(name for name in rows_of(path, settings).images or () if name)]


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
        reason = str(error).partition("\n")[0]
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
    else:
        table = _csv(path, settings.label) if path.suffix.lower() == ".csv" else pa_json.read_json(path)
        schema = table.schema
    wanted = {*schema.names} if settings.metadata is None else {*settings.columns, *settings.metadata}
    read = [field.name for field in schema if field.name in wanted and _is_scalar(field.type)]
    if path.suffix.lower() == ".parquet":
        table = pq.read_table(path, columns=read)
    return list(schema.names), {name: table[name].to_pylist() for name in read}


def _csv(path: Path, label: str) -> "pa.Table":
    """The columns as text, so that 007 stays 007; labels as numbers, if all of them are."""
    names = pa_csv.open_csv(path).schema.names
    table = pa_csv.read_csv(path, convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())))
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
    """Whether values are text, numbers, truth values or times."""
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return not (pa.types.is_nested(kind) or any(is_kind(kind) for is_kind in binary))


def _contents(path: Path, column: str, wanted: list[int]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the image of each row of a Parquet file. `wanted`: numbers of rows, in order."""
    file, first, rows = pq.ParquetFile(path), 0, iter(wanted)
    row = next(rows, None)
    for group in range(file.num_row_groups):
        after = first + file.metadata.row_group(group).num_rows
        if row is not None and row < after:
            for batch in file.iter_batches(BATCH_IMAGES, row_groups=[group], columns=[column]):
                while row is not None and row < first + len(batch):
                    content = batch[0][row - first].as_py()
                    content = content.get("bytes") if isinstance(content, dict) else content
                    yield f"row {row:,} of {path.name}", content or b""
                    row = next(rows, None)
                first += len(batch)
        first = after
