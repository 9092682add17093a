"""Stored definitions never differ from those that parsing the source gives now."""

import os
import sys
from pathlib import Path

import pytest

from pipeline.engine import definitions

ERRORS = "class Failure(Exception):\n    pass\n"
OWN = 'from errors_of_own import Failure\n\n\nclass Bad(Failure):\n    text = "first"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A directory of modules on the path, with compiled files of its own."""
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "compiled"))
    for name, text in {"errors_of_own": ERRORS, "own_module": OWN}.items():
        write(tmp_path / "modules" / f"{name}.py", text)
    yield tmp_path
    clear()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def clear() -> None:
    for cached in (definitions.read, definitions.location, definitions._folders, definitions._is_library):
        cached.cache_clear()


def read() -> definitions.Module:
    clear()
    return definitions.read("own_module")


def digest() -> str:
    return read().bindings["Bad"][0].digest


def stored(folder: Path) -> list[Path]:
    return sorted((folder / "compiled").rglob("own_module*.parsed"))


def test_the_second_read_takes_the_stored_definitions(folder, monkeypatch):
    first = read()
    assert len(stored(folder)) == 1
    monkeypatch.setattr(definitions, "_parse", None)
    assert read() == first


def test_an_edit_of_the_same_size_and_time_is_seen(folder):
    first = read()
    module = folder / "modules/own_module.py"
    times = module.stat()
    write(module, OWN.replace("class Bad", "class Odd"))
    os.utime(module, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert set(first.bindings) == {"Bad"}
    assert set(read().bindings) == {"Odd"}


def test_a_base_class_in_another_module_that_is_no_longer_an_error_is_seen(folder):
    module = folder / "modules/own_module.py"
    as_error = digest()
    write(module, OWN.replace("first", "second"))
    assert digest() == as_error  # texts of errors do not count
    write(folder / "modules/errors_of_own.py", ERRORS.replace("Exception", "dict"))
    second = digest()
    write(module, OWN)
    assert len({as_error, second, digest()}) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"key": 1}'])
def test_a_damaged_stored_file_is_replaced(folder, content):
    first = read()
    (file,) = stored(folder)
    good = file.read_bytes()
    file.write_bytes(content)
    assert read() == first
    assert file.read_bytes() == good


def test_nothing_is_stored_where_python_stores_no_compiled_files(folder, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    read()
    assert stored(folder) == []


def test_a_directory_that_cannot_be_written_is_no_error(folder, monkeypatch):
    (folder / "file").touch()
    monkeypatch.setattr(sys, "pycache_prefix", str(folder / "file"))
    assert set(read().bindings) == {"Bad"}
