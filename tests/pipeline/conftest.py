"""Fixtures of the pipeline's tests: a store, and a runner of the tiny line in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine.component import Node
from pipeline.engine.plan import Planner, Rerun, Step
from pipeline.engine.runner import Beam, Execution
from pipeline.lineage import Lineage
from pipeline.store import Store
from tests.pipeline import tiny_line

OpenLineage = Callable[[str], Lineage]  # the fixture `open_lineage`


@dataclass
class Watcher:
    """Records the progress of a run."""

    lines: list[tuple[str, ...]] = field(default_factory=list)

    def started(self, stage: str) -> None:
        self.lines.append(("started", stage))

    def message(self, stage: str, text: str) -> None:
        self.lines.append(("message", stage, text))

    def ended(self, stage: str, state: str, why: str, seconds: float) -> None:
        self.lines.append((state, stage, why))


@dataclass
class Line:
    """Runs lines in one store, as the command `run` does."""

    store: Store
    lineage: Lineage
    watcher: Watcher = field(default_factory=Watcher)

    def plan(self, node: Node, rerun: Rerun = Rerun(), **options: Any) -> list[Step]:
        return Planner.of(self.store, rerun, node, **options).plan(node)

    def run(self, node: Node, rerun: Rerun = Rerun(), **options: Any) -> Any:
        tiny_line.EVENTS.clear()
        self.watcher.lines.clear()
        number = self.lineage.start(profile="tiny", command="", config={})
        planner = Planner.of(self.store, rerun, node, **options)
        with self.store.lock(wait=False):
            return Execution(number, node, planner, self.store, self.lineage, Beam(), self.watcher).run(
                planner.plan(node)
            )

    def actions(self, node: Node, rerun: Rerun = Rerun()) -> dict[str, str]:
        return {step.name: f"{step.action}: {step.why}" for step in self.plan(node, rerun)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "root")


@pytest.fixture
def open_lineage() -> Iterator[OpenLineage]:
    """`Lineage.open`; all are closed at the end of the test."""
    lineages: list[Lineage] = []

    def open_one(url: str) -> Lineage:
        lineages.append(Lineage.open(url))
        return lineages[-1]

    yield open_one
    for lineage in lineages:
        lineage.engine.dispose()


@pytest.fixture
def tiny(store: Store, open_lineage: OpenLineage) -> Line:
    return Line(store, open_lineage(f"sqlite:///{store.root / 'lineage.db'}"))
