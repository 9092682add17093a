"""Shared fixtures: runs of single stages, and the shipped sample of MNIST after each stage, once per session.

examples = ingest.function(UNPREPARED, source=SAMPLE, place=Place(...), run=new_run())
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from components.describe import describe
from components.ingest import ingest
from components.sources.reading import Place
from components.train import train
from components.transform import transform
from components.tune import tune
from components.validate import validate
from pipeline.engine.runner import Beam
from schemas.artifacts import Artifact, Examples, Features, Hyperparameters, Model, SourceData, Statistics, Verdict
from schemas.contract import Contract
from schemas.settings.source import Tfds
from schemas.settings.train import Mlp, Train
from schemas.settings.transform import Transform
from schemas.settings.validate import Validate
from tests import postgres

# A busy machine must not fail a test. Processes started in the background inherit an ignored SIGINT.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")
signal.signal(signal.SIGINT, signal.default_int_handler)

SAMPLE = Tfds(tfds="mnist_sample", module="components.mnist_sample")
UNPREPARED = SourceData(Path(), version="", files=0, contents="")  # `ingest` does not read it
# Few real digits: TFDS shuffles, so each slice has all ten labels.
FEW = SAMPLE.model_copy(update={"train": "train[:1000]", "test": "test[:400]", "validation": 0.2})


@dataclass
class FolderRun:
    """A `pipeline.engine.component.StageRun` over a folder, without a runner. Messages of the stage are in `logged`."""

    out: Path
    scratch: Path
    lineage: dict[str, Any] = field(default_factory=dict)
    prefetched: Any = None
    workers: int = 1
    logged: list[str] = field(default_factory=list)
    previous_artifacts: list[Artifact] = field(default_factory=list)

    def previous(self) -> Iterator[Artifact]:
        yield from self.previous_artifacts

    @contextlib.contextmanager
    def beam(self) -> Iterator[Any]:
        threads = (f"--direct_num_workers={self.workers}", "--direct_running_mode=multi_threading")
        with Beam(arguments=threads if self.workers > 1 else ()).pipeline() as pipeline:
            yield pipeline

    def log(self, text: str) -> None:
        self.logged.append(text)


def folder_run(folder: Path, **options: Any) -> FolderRun:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir(exist_ok=True)
    return FolderRun(out, scratch, **options)


NewRun = Callable[..., FolderRun]


@pytest.fixture
def new_run(tmp_path: Path) -> NewRun:
    """A factory of runs, each over its own folder."""
    numbers = iter(range(1000))
    return lambda **options: folder_run(tmp_path / f"run-{next(numbers)}", **options)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The data directory of TFDS; never the user's."""
    return str(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def mnist() -> Contract:
    return Contract.load("mnist.pbtxt")


@pytest.fixture(scope="session")
def sample(data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """All of the sample: 4,000 train images, of which a tenth is validation, and 1,000 test images."""
    return ingest.function(
        UNPREPARED, source=SAMPLE, place=Place(data_dir), run=folder_run(tmp_path_factory.mktemp("ingest"))
    )


@pytest.fixture(scope="session")
def sample_statistics(sample: Examples, tmp_path_factory: pytest.TempPathFactory) -> Statistics:
    return describe.function(sample, run=folder_run(tmp_path_factory.mktemp("describe")))


@pytest.fixture(scope="session")
def verdict(sample_statistics: Statistics, mnist: Contract, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    run = folder_run(tmp_path_factory.mktemp("validate"))
    return validate.function(sample_statistics, None, contract=mnist, checks=Validate(), run=run)


@pytest.fixture(scope="session")
def few(sample: Examples, data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """About 800 train, 200 validation and 400 test images of the sample, which the fixture `sample` has prepared."""
    return ingest.function(
        UNPREPARED, source=FEW, place=Place(data_dir), run=folder_run(tmp_path_factory.mktemp("few"))
    )


@pytest.fixture(scope="session")
def features(few: Examples, verdict: Verdict, mnist: Contract, tmp_path_factory: pytest.TempPathFactory) -> Features:
    run = folder_run(tmp_path_factory.mktemp("transform"))
    return transform.function(few, verdict, contract=mnist, settings=Transform(), run=run)


@pytest.fixture(scope="session")
def model(features: Features, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A small trained model that is correct on most digits."""
    settings = Train(model=Mlp(layers=[32]), epochs=5)
    folder = tmp_path_factory.mktemp("model")
    return train.function(features, configured(features, settings, folder / "tune"), run=folder_run(folder / "train"))


def configured(features: Features, settings: Train, folder: Path) -> Hyperparameters:
    return tune.function(features, settings=settings, run=folder_run(folder))


@pytest.fixture(scope="session")
def new_postgres() -> Iterator[Callable[[], str]]:
    """Creates empty PostgreSQL databases and returns their URLs."""
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.server() as new_database:
        yield new_database
