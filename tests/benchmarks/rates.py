"""Images per second of each data-parallel stage, after start-up, on full MNIST: a line of JSON.

Each rate is the best of three calls: the first includes the start-up of Beam, TensorFlow and TFDS, and differences
between the others come from the machine. For the same reason `make bench` measures in each of its rounds.

python -m tests.benchmarks.rates DATA_DIR OUT
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.describe import describe
from components.ingest import ingest
from components.sources.reading import Place
from components.transform import transform
from pipeline.engine.runner import Beam
from schemas.artifacts import Artifact, SourceData, Verdict
from schemas.contract import Contract
from schemas.settings.source import Tfds
from schemas.settings.transform import Transform

CALLS = 3


@dataclass
class BenchmarkRun:
    """A `StageRun` without store and lineage."""

    out: Path
    scratch: Path
    lineage: dict[str, Any] = field(default_factory=dict)
    prefetched: None = None

    @contextlib.contextmanager
    def beam(self) -> Iterator[Any]:
        with Beam().pipeline() as pipeline:
            yield pipeline

    def previous(self) -> Iterator[Artifact]:
        yield from ()

    def log(self, text: str) -> None: ...


def best(out: Path, stage: Callable[[BenchmarkRun], Any], images: Callable[[Any], int]) -> tuple[Any, float]:
    """The result of a stage, and its images per second."""
    rates = []
    for i in range(CALLS):
        run = BenchmarkRun(out / f"{i}", out / f"{i}-scratch")
        for folder in (run.out, run.scratch):
            folder.mkdir(parents=True)
        started = time.perf_counter()
        result = stage(run)
        rates.append(images(result) / (time.perf_counter() - started))
    return result, max(rates)


def main(data_dir: str, out: Path) -> dict[str, float]:
    contract = Contract.load("mnist.pbtxt")
    source = Tfds(tfds="mnist", validation=0.02)
    count = lambda result: sum(split.count for split in result.splits.values())  # noqa: E731
    examples, ingested = best(
        out / "ingest",
        lambda run: ingest.function(
            SourceData(Path(), version="", files=0, contents=""),
            source=source,
            place=Place(data_dir),
            run=run,
        ),
        count,
    )
    _, described = best(
        out / "describe", lambda run: describe.function(examples, run=run), lambda result: sum(result.counts.values())
    )
    passed = Verdict(out, passed=True)
    rates = {"ingest": ingested, "describe": described}
    for scale in ("unit", "standardize"):
        settings = Transform(scale=scale)
        call = lambda run, s=settings: transform.function(examples, passed, contract=contract, settings=s, run=run)  # noqa: E731
        rates[f"transform ({scale})"] = best(out / scale, call, count)[1]
    return rates


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
