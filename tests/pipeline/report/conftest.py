"""Reports of three finished runs, and of one that failed before its first stage."""

from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from pipeline.report import html
from pipeline.report.facts import Facts
from pipeline.store import Store
from tests.pipeline.finished_run import finish
from tests.pipeline.predictions import Predictions
from tests.pipeline.report_page import Page, facts_of


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run 1 was pushed, with leaked images; run 2 was refused by three gates; run 3 had no baseline."""
    root = Store(tmp_path_factory.mktemp("store") / "root").root
    finish(root, leaked=23)
    finish(root, Predictions.random(accuracy=0.95), refused=("accuracy", "per_class:label=8", "paired"))
    finish(root, with_baseline=False)
    return root


@pytest.fixture(scope="module")
def pushed(root: Path) -> Facts:
    return facts_of(root, 1)


@pytest.fixture(scope="module")
def refused(root: Path) -> Facts:
    return facts_of(root, 2)


@pytest.fixture(scope="module")
def source(pushed: Facts) -> str:
    return html.page(pushed)


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


@pytest.fixture
def empty(tmp_path: Path) -> Facts:
    """A run that failed before its first stage finished."""
    root = Store(tmp_path / "root").root
    lineage = Lineage.at(root, None)
    number = lineage.start(profile="mnist", command="python -m pipeline run", config={})
    lineage.finish(number, state="failed", exit_code=1, message="data: nothing came\n  Look at the network.")
    lineage.engine.dispose()
    return facts_of(root, number)
