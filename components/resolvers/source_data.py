"""source_data: looks up, while planning, what the configured dataset is now. Imports neither TFDS nor TensorFlow."""

import ast
import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path

from components.sources import custom, table, tfrecord
from components.sources.fingerprint import Digests
from components.sources.reading import Place
from components.sources.rows import check_slices
from pipeline.engine.component import Unkeyed, component
from schemas.artifacts import SourceData
from schemas.errors import ConfigurationError
from schemas.settings.source import Custom, SourceSettings, Table, Tfds, Tfrecord


@component(kind="resolver")
def source_data(
    *,
    source: SourceSettings,
    place: Unkeyed[Place],
    digests: Unkeyed[Path | None] = None,
    sliced: Unkeyed[Sequence[str]] = (),
) -> SourceData:
    """The version of the dataset, and the contents of all its files: those of a folder, a table and the files that it
    names, TFRecord files, or what TFDS has prepared. Of a class of the user's, what it states, and its module's code.

    Of TFDS, every prepared version and variant counts that `source.tfds` may resolve to. The same files in another
    folder are the same data. `digests` caches digests between runs, so that unchanged files are not read again.
    `sliced`: columns of a table that the evaluation slices by.

    Raises:
        ConfigurationError: a file cannot be read, or there is no such column.
    """
    kept, name, version, folder = Digests(digests), "", "", Path()
    try:
        match source:
            case Custom():
                code = [path.read_text(encoding="utf-8") for path in _sources(source.custom.partition(":")[0])]
                contents = {"": custom.state(source), "code": hashlib.sha256("\n".join(code).encode()).hexdigest()}
                check_slices(source.custom, custom.CustomReader(source, place).rows, sliced)
            case Table():
                folder = Path(place.path or source.path).expanduser()
                contents = kept.of_files(folder.parent, table.files_of(folder, source)) if folder.is_file() else {}
                if folder.is_file():
                    check_slices(str(folder), table.rows_of(folder, source), sliced)
            case Tfrecord():
                matches = tfrecord.matching(Path(place.path or source.path).expanduser())
                folder = Path(os.path.commonpath([path.parent for path in matches])) if matches else folder
                contents = kept.of_files(folder, (str(path.relative_to(folder)) for path in matches))
            case Tfds():
                name, _, version = source.tfds.partition(":")
                version = version if version and "*" not in version else _stated_version(source.module)
                folder = prepared_in(place.data_dir) / name
                contents = kept.of(folder) if folder.is_dir() else {}
            case _:
                folder = Path(place.path or source.path).expanduser()
                contents = kept.of(folder) if folder.is_dir() else {}
    except OSError as error:
        setting = "source.data_dir" if isinstance(source, Tfds) else f"source.{source.key}"
        cause = f"{error.filename} cannot be read: {error.strerror}"
        raise ConfigurationError(cause, f"Fix its permissions, or name another {setting}.") from error
    kept.save()
    identity = hashlib.sha256(json.dumps([name, version, contents]).encode()).hexdigest()
    return SourceData(folder, version=version, files=len(contents), contents=_digest(contents), digest=identity)


def prepared_in(data_dir: str | None) -> Path:
    """The folder in which TFDS keeps prepared data."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _digest(contents: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest() if contents else ""


def _stated_version(module: str | None) -> str:
    """The builder's VERSION as its module states it, else a digest of the module's source. "" without a module."""
    if module is None:
        return ""  # a builder of TFDS itself: its version is that of the library, which is in the cache key
    texts = [path.read_text(encoding="utf-8") for path in _sources(module)]
    versions = [
        each.value.args[0].value
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if isinstance(each, ast.Assign) and any(getattr(target, "id", "") == "VERSION" for target in each.targets)
        if isinstance(each.value, ast.Call) and each.value.args and isinstance(each.value.args[0], ast.Constant)
    ]
    return ", ".join(map(str, versions)) or hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _sources(module: str) -> list[Path]:
    """The source files of a module or package, found without importing it. Empty if it does not exist."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None or spec.origin is None:
        return []
    if not spec.submodule_search_locations:
        return [Path(spec.origin)]
    path = Path(spec.submodule_search_locations[0]).joinpath(*rest)
    return (
        sorted(path.glob("*.py"))
        if path.is_dir()
        else [path.with_suffix(".py")]
        if path.with_suffix(".py").exists()
        else []
    )
