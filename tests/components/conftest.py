"""Spans and evaluations of the sample, once per session."""

import pytest

from components.describe import describe
from components.ingest import ingest
from components.mix import mix
from components.sources.reading import Place
from components.train import train
from schemas import disk, files
from schemas.artifacts import Best, Served
from schemas.settings.train import Mlp, Train
from tests import spans
from tests.components.evaluations import WITH_SLICES, evaluated
from tests.components.span_stages import ALL, admit_spans
from tests.conftest import SAMPLE, UNPREPARED, configured, folder_run
from tests.spans import collected


@pytest.fixture(scope="session")
def base(data_dir, sample, tmp_path_factory):
    """The part of the sample that no span contains."""
    source = SAMPLE.model_copy(update={"train": "train[:60%]"})
    return ingest.function(
        UNPREPARED, source=source, place=Place(data_dir), run=folder_run(tmp_path_factory.mktemp("base"))
    )


@pytest.fixture(scope="session")
def base_statistics(base, tmp_path_factory):
    return describe.function(base, run=folder_run(tmp_path_factory.mktemp("base-described")))


@pytest.fixture(scope="session")
def delivered_spans(base, data_dir, tmp_path_factory):
    """Three valid spans, one in each layout."""
    directory = tmp_path_factory.mktemp("delivered")
    for i, layout in enumerate(("images", "idx", "records")):
        spans.deliver(directory, f"span-{i:04d}", *spans.digits(data_dir, i * 100, 100), layout)
    return directory


@pytest.fixture(scope="session")
def three_spans(delivered_spans, tmp_path_factory):
    collected_spans = collected(delivered_spans, folder_run(tmp_path_factory.mktemp("three")))
    manifest = {"files": files.listing(collected_spans.path)}
    disk.write_json(collected_spans.path / files.MANIFEST, manifest)  # as the store does
    return collected_spans


@pytest.fixture(scope="session")
def mixed(base, base_statistics, three_spans, mnist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    admission = admit_spans(three_spans, base_statistics, mnist, folder_run(folder / "admit"))
    return mix.function(base, base_statistics, three_spans, admission, **ALL, run=folder_run(folder / "mix"))


@pytest.fixture(scope="session")
def worse_model(features, tmp_path_factory):
    """A served version: a small model trained for one epoch."""
    folder = tmp_path_factory.mktemp("worse")
    settings = Train(model=Mlp(layers=[8]), epochs=1, seed=3)
    model = train.function(features, configured(features, settings, folder / "tune"), run=folder_run(folder / "train"))
    return Served(model.path / "saved_model", digest="d", version=4)


@pytest.fixture(scope="session")
def compared(model, few, worse_model, mnist, tmp_path_factory):
    """The model's evaluation with the worse model as baseline."""
    best = Best(worse_model.path, digest="b", version=4, accuracy=0.5, kept=True, same_test=True)
    return evaluated(
        model,
        few,
        folder_run(tmp_path_factory.mktemp("compared")),
        mnist,
        baseline=worse_model,
        best=best,
        settings=WITH_SLICES,
    )


@pytest.fixture(scope="session")
def compared_without_slices(model, few, worse_model, mnist, tmp_path_factory):
    return evaluated(model, few, folder_run(tmp_path_factory.mktemp("plain")), mnist, baseline=worse_model)


@pytest.fixture(scope="session")
def evaluated_alone(model, few, mnist, tmp_path_factory):
    return evaluated(model, few, folder_run(tmp_path_factory.mktemp("alone")), mnist)
