"""Spans of the sample, taken through the stages once a session."""

import pytest

from components.describe import describe
from components.ingest import ingest
from components.mix import mix
from components.sources.reading import Place
from schemas import files
from tests import spans
from tests.components.span_stages import ALL, judged
from tests.conftest import SAMPLE, UNPREPARED, lent
from tests.spans import collected


@pytest.fixture(scope="session")
def base(data_dir, sample, tmp_path_factory):
    """The part of the sample that no span holds."""
    source = SAMPLE.model_copy(update={"train": "train[:60%]"})
    return ingest.function(UNPREPARED, source=source, place=Place(data_dir), run=lent(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="session")
def base_statistics(base, tmp_path_factory):
    return describe.function(base, run=lent(tmp_path_factory.mktemp("base-described")))


@pytest.fixture(scope="session")
def delivered_spans(base, data_dir, tmp_path_factory):
    """Three sound spans, one in each form."""
    directory = tmp_path_factory.mktemp("delivered")
    for i, form in enumerate(("images", "idx", "records")):
        spans.deliver(directory, f"span-{i:04d}", *spans.digits(data_dir, i * 100, 100), form)
    return directory


@pytest.fixture(scope="session")
def three_spans(delivered_spans, tmp_path_factory):
    found = collected(delivered_spans, lent(tmp_path_factory.mktemp("three")))
    files.write_json(found.path / files.MANIFEST, {"files": files.listing(found.path)})  # as the store would
    return found


@pytest.fixture(scope="session")
def mixed(base, base_statistics, three_spans, mnist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    admission = judged(three_spans, base_statistics, mnist, lent(folder / "admit"))
    return mix.function(base, base_statistics, three_spans, admission, **ALL, run=lent(folder / "mix"))
