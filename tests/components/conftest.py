"""Spans and evaluations of the sample, made once a session."""

import pytest

from components.describe import describe
from components.ingest import ingest
from components.mix import mix
from components.sources.reading import Place
from components.train import train
from schemas import files
from schemas.artifacts import Best, Served
from schemas.settings.train import Mlp, Train
from tests import spans
from tests.components.evaluations import TO_SEE, evaluated
from tests.components.span_stages import ALL, judged
from tests.conftest import SAMPLE, UNPREPARED, configured, lent
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


@pytest.fixture(scope="session")
def worse(features, tmp_path_factory):
    """A version that is served: a model of one short epoch."""
    folder = tmp_path_factory.mktemp("worse")
    settings = Train(model=Mlp(layers=[8]), epochs=1, seed=3)
    model = train.function(features, configured(features, settings, folder / "tune"), run=lent(folder / "train"))
    return Served(model.path / "saved_model", digest="d", version=4)


@pytest.fixture(scope="session")
def compared(model, few, worse, mnist, tmp_path_factory):
    """The model's evaluation with the worse one as its baseline."""
    best = Best(worse.path, digest="b", version=4, accuracy=0.5, kept=True, same_test=True)
    return evaluated(
        model, few, lent(tmp_path_factory.mktemp("compared")), mnist, baseline=worse, best=best, settings=TO_SEE
    )


@pytest.fixture(scope="session")
def plainly_compared(model, few, worse, mnist, tmp_path_factory):
    return evaluated(model, few, lent(tmp_path_factory.mktemp("plain")), mnist, baseline=worse)


@pytest.fixture(scope="session")
def alone(model, few, mnist, tmp_path_factory):
    return evaluated(model, few, lent(tmp_path_factory.mktemp("alone")), mnist)
