"""Source `custom`: a user's class, and the errors of an invalid one."""

import sys
import textwrap
from pathlib import Path

import imagecodecs
import pytest

from components.ingest import ingest
from components.resolvers.source_data import source_data
from components.sources.reading import place_of
from schemas.errors import ConfigurationError, DataError, GatelineError
from schemas.settings.source import Custom
from tests.components import pictures
from tests.conftest import UNPREPARED

COUNT = 120
SCANS = """
    from pathlib import Path
    from gateline import Row

    class Scans:
        def __init__(self, folder: str, labels: int = 3) -> None:
            self.folder, self.labels = Path(folder), labels

        def rows(self):
            for i in range(120):
                split = ["train", "train", "validation", "test"][i % 4]
                yield Row(f"{i}.png", i % self.labels, split, metadata={"scanner": "AB"[i % 2]})

        def content(self, name: str) -> bytes:
            return (self.folder / name).read_bytes()
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A function (text of the class) -> settings, for a module in the current directory."""
    images, _ = pictures.pictures(COUNT, seed=5)
    for i, image in enumerate(images):
        (tmp_path / f"{i}.png").write_bytes(imagecodecs.png_encode(image))
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str = SCANS, **settings: object) -> Custom:
        (tmp_path / "own_scans.py").write_text(textwrap.dedent(text), encoding="utf-8")
        sys.modules.pop("own_scans", None)
        options = {"folder": str(tmp_path)}
        return Custom.model_validate({"custom": "own_scans:Scans", "options": options} | settings)

    return write


def ingested(source: Custom, run):
    return ingest.function(UNPREPARED, source=source, place=place_of(source), encoding=None, run=run)


def test_rows_become_records_with_their_split_label_and_metadata(source, tmp_path, new_run):
    examples = ingested(source(), new_run())
    assert {split: split_.count for split, split_ in examples.splits.items()} == {
        "train": 60,
        "validation": 30,
        "test": 30,
    }
    assert examples.metadata == ("scanner",)
    columns = pictures.columns(examples, "test")
    assert set(columns["image"]) == {(tmp_path / f"{i}.png").read_bytes() for i in range(3, COUNT, 4)}


def test_an_unreadable_image_is_set_aside(source, tmp_path, new_run):
    (tmp_path / "7.png").unlink()
    assert ingested(source(), new_run()).set_aside() == [("7.png", "7.png cannot be read: No such file or directory")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class Scans", "class Other"), "source.custom own_scans:Scans cannot be loaded: AttributeError"),
        (("from pathlib", "from nowhere"), "source.custom own_scans:Scans cannot be loaded: ModuleNotFoundError"),
        (("folder: str,", "place: str,"), "__init__ with source.options .* of own_scans:Scans failed: TypeError"),
        (("i % self.labels", "''"), "0.png of own_scans:Scans has no label"),
        (("range(120)", "range(0)"), "own_scans:Scans has no rows"),
        (("range(120)", "1 / 0"), r"rows\(\) of own_scans:Scans failed: TypeError|ZeroDivisionError"),
        (("yield Row", "yield tuple"), r"rows\(\) of own_scans:Scans failed: TypeError"),
        ((".read_bytes()", ".name"), r"content\('0.png'\) of own_scans:Scans failed: TypeError: .* str, not bytes"),
        (('"test"]', '"holdout"]'), "own_scans:Scans states a split holdout"),
    ],
)
def test_an_invalid_class_is_refused(change, message, source, new_run):
    assert change[0] in SCANS
    with pytest.raises(GatelineError, match=message) as error:
        ingested(source(SCANS.replace(*change)), new_run())
    assert isinstance(error.value, (ConfigurationError, DataError))


def test_invalid_rows_are_refused_while_planning(source):
    settings = source(SCANS.replace("yield Row", "yield tuple"))
    with pytest.raises(DataError, match=r"rows\(\) of own_scans:Scans failed: TypeError"):
        source_data.function(source=settings, place=place_of(settings))


def test_a_later_run_in_the_same_process_reads_new_rows(source, tmp_path, new_run):
    listing = SCANS.replace("range(120)", "range(int((self.folder / 'count').read_text()))")
    for count in (80, 120):
        settings = source(listing)
        (tmp_path / "count").write_text(str(count), encoding="utf-8")
        examples = ingested(settings, new_run())
        assert sum(split.count for split in examples.splits.values()) == count


def test_the_state_of_the_class_is_keyed(source):
    with_state = SCANS + "\n        def state(self) -> str:\n            return (self.folder / 'state').read_text()\n"
    first = source(with_state)
    file = Path(first.options["folder"]) / "state"
    state = lambda settings: source_data.function(source=settings, place=place_of(settings)).contents  # noqa: E731
    file.write_text("1", encoding="utf-8")
    before = state(first)
    assert state(first) == before
    file.write_text("2", encoding="utf-8")
    assert state(first) != before


def test_rows_and_code_are_keyed(source):
    state = lambda settings: source_data.function(source=settings, place=place_of(settings)).contents  # noqa: E731
    before = state(source())
    assert state(source()) == before
    assert state(source(SCANS + "\n        # another text\n")) != before
    fewer_labels = source(options={"folder": source().options["folder"], "labels": 2})
    assert state(fewer_labels) != before
