"""The cache key covers everything that an artifact depends on; differences are described in words."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.sources.reading import Place
from pipeline.engine.cache_key import CacheKey, plain
from schemas.contract import Contract
from schemas.settings.source import Tfds
from schemas.settings.train import Train
from tests.pipeline.tiny_line import Number, compare, pick

STAGE = '''
"""A stage that is edited."""
from pipeline.engine.component import StageRun, component
from schemas.artifacts import Artifact
from components import _helper
from components._deeper import deeper


@component
def stage(*, value: int = 1, run: StageRun) -> Artifact:
    """Its docstring."""
    deeper(_helper._far.FAR)
    return Artifact(run.out)  # a comment
'''
FILES = {
    "stage.py": STAGE,
    "_helper.py": "from components import _far\n",
    "_deeper.py": "def deeper(number): ...\n",
    "_far.py": "FAR = 1\n",
}
PRINT = """
from components.stage import stage
from pipeline.engine.cache_key import CacheKey
key = CacheKey.of(stage(), {})
print(key.digest, *key.parts["code"])
"""


def key_of(node: object, **inputs: Number | None) -> CacheKey:
    return CacheKey.of(node, inputs)


def number(digest: str) -> Number:
    return Number(Path("/anywhere"), digest=digest, value=1)


class EditedComponents:
    """A package of components in its own directory, whose files the tests edit."""

    def __init__(self, path: Path) -> None:
        self.path = path / "components"
        self.path.mkdir()
        for name, text in {"__init__.py": "", **FILES}.items():
            (self.path / name).write_text(text, encoding="utf-8")

    def digest(self) -> str:
        command = [sys.executable, "-c", PRINT]
        paths = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }  # after the working directory, which comes first
        done = subprocess.run(command, cwd=self.path.parent, env=paths, capture_output=True, text=True, check=True)
        digest, *self.modules = done.stdout.split()
        return digest

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text(encoding="utf-8")
        assert old in text
        (self.path / name).write_text(text.replace(old, new), encoding="utf-8")


def test_edits_of_code_and_helpers_change_the_key_but_comments_and_docstrings_do_not(tmp_path: Path) -> None:
    components = EditedComponents(tmp_path)
    first = components.digest()
    assert {f"components.{name}" for name in ("stage", "_deeper", "_far")} <= set(components.modules)
    components.replace("stage.py", "# a comment", "# another comment")
    components.replace("stage.py", "Its docstring.", "What it is for.")
    components.replace("stage.py", "A stage that is edited.", "A stage.")
    components.replace(
        "stage.py", "(*, value: int = 1, run: StageRun)", "(\n    *,\n    value: int = 1,\n    run: StageRun,\n)"
    )
    assert components.digest() == first
    components.replace("_far.py", "1", "2")
    far = components.digest()
    components.replace("stage.py", "return Artifact(run.out)", "return Artifact(run.out.parent)")
    assert len({first, far, components.digest()}) == 3


def test_the_key_includes_the_versions_of_imported_libraries() -> None:
    from components.describe import describe
    from components.ingest import ingest
    from components.resolvers.source_data import source_data

    source = Tfds(tfds="mnist")
    data = source_data(source=source, place=Place())
    examples = ingest(data=data, source=source, place=Place())
    versions = CacheKey.of(describe(examples=examples), {"examples": None}).parts["versions"]
    assert {"tensorflow", "numpy", "apache_beam"} <= set(versions)
    assert not {"pydantic", "etils", "pathlib"} & set(versions)


def test_the_key_includes_libraries_that_are_not_installed() -> None:
    """Once it is installed, images that were set aside without it are read again."""
    from components.ingest import ingest
    from components.resolvers.source_data import source_data

    source = Tfds(tfds="mnist")
    examples = ingest(data=source_data(source=source, place=Place()), source=source, place=Place())
    versions = CacheKey.of(examples, {"data": None}).parts["versions"]
    installed = importlib.util.find_spec("pillow_heif")
    assert versions["pillow_heif"] == (importlib.metadata.version("pillow_heif") if installed else "not installed")


def test_equal_settings_give_the_same_key() -> None:
    assert key_of(pick(value=1)).digest == key_of(pick(value=1)).digest
    assert key_of(pick(value=1)).differences(key_of(pick(value=1)).parts) == []


def test_a_changed_setting_is_described_with_both_values() -> None:
    one, two = key_of(pick(value=1)), key_of(pick(value=2))
    assert one.digest != two.digest
    assert two.differences(one.parts) == ["value changed from 1 to 2"]


def test_an_unkeyed_setting_does_not_change_the_key() -> None:
    assert key_of(pick(value=1, place="here")).digest == key_of(pick(value=1, place="there")).digest


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("a", "b", "other changed"),
        (None, "b", "other is new"),
        ("a", None, "other was removed"),
    ],
)
def test_a_changed_input_is_described_by_its_name(before: str | None, after: str | None, message: str) -> None:
    node = compare(number=pick(value=1), other=pick(value=1))
    older, newer = (key_of(node, number=number("x"), other=digest and number(digest)) for digest in (before, after))
    assert older.digest != newer.digest
    assert newer.differences(older.parts) == [message]


def test_changes_inside_a_section_are_described_by_their_path() -> None:
    older = {"settings": {"settings": plain(Train())}}
    newer = CacheKey("train", {"settings": {"settings": plain(Train(epochs=5, early_stopping={"patience": 2}))}})
    assert newer.differences(older) == [
        "settings.early_stopping.min_delta changed from None to 0.0",
        "settings.early_stopping.patience changed from None to 2",
        "settings.epochs changed from 10 to 5",
    ]


def test_a_long_changed_value_is_not_quoted() -> None:
    older = {"settings": {"contract": plain(Contract("mnist.pbtxt", "x" * 50))}}
    newer = CacheKey("train", {"settings": {"contract": plain(Contract("mnist.pbtxt", "y" * 50))}})
    assert newer.differences(older) == ["contract.text changed"]


def test_edited_code_and_new_library_versions_are_described_by_name() -> None:
    older = {"code": {"components.train": "a"}, "versions": {"keras": "3.14"}}
    newer = CacheKey("train", {"code": {"components.train": "b"}, "versions": {"keras": "3.15"}})
    assert newer.differences(older) == ["components.train was edited", "keras changed from 3.14 to 3.15"]


def test_the_location_of_a_dataset_is_not_in_the_key() -> None:
    here, there = (plain(Tfds(tfds="mnist", data_dir=path, manual_dir=path)) for path in ("/here", "/there"))
    assert here == there
    assert here["tfds"] == "mnist"


@dataclass(frozen=True)
class Pair:
    one: int
    other: int


@given(st.integers(), st.integers())
def test_plain_is_equal_only_for_equal_values(one: int, other: int) -> None:
    assert (plain(Pair(one, 0)) == plain(Pair(other, 0))) == (one == other)
