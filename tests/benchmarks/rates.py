"""Images per second of each data-parallel stage, after start-up, on the whole of MNIST: a line of JSON.

Each figure is the best of three calls: the first pays for start-up (of Beam, TensorFlow, TFDS), and what slows one call
and not another is the machine, not the stage. For the same reason `make bench` asks in each of its rounds.

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
from schemas.artifacts import SourceData, Verdict
from schemas.contract import Contract
from schemas.settings.source import Tfds
from schemas.settings.transform import Transform

CALLS = 3


@dataclass
class Bench:
    """The runner's part, without store and lineage."""

    out: Path
    scratch: Path
    lineage: dict[str, Any] = field(default_factory=dict)
    prefetched: None = None

    @contextlib.contextmanager
    def beam(self) -> Iterator[Any]:
        with Beam().pipeline() as pipeline:
            yield pipeline

    def log(self, text: str) -> None: ...


def best(out: Path, stage: Callable[[Bench], Any], images: Callable[[Any], int]) -> tuple[Any, float]:
    """What the stage made, and images per second."""
    rates = []
    for i in range(CALLS):
        run = Bench(out / f"{i}", out / f"{i}-scratch")
        for folder in (run.out, run.scratch):
            folder.mkdir(parents=True)
        started = time.perf_counter()
        made = stage(run)
        rates.append(images(made) / (time.perf_counter() - started))
    return made, max(rates)


def main(data_dir: str, out: Path) -> dict[str, float]:
    contract = Contract.load("mnist.pbtxt")
    source = Tfds(tfds="mnist", validation=0.02)
    everything = lambda made: sum(split.count for split in made.splits.values())  # noqa: E731
    examples, ingested = best(
        out / "ingest",
        lambda run: ingest.function(
            SourceData(Path(), version="", files=0, contents=""),
            source=source,
            place=Place(data_dir),
            run=run,
        ),
        everything,
    )
    _, described = best(
        out / "describe", lambda run: describe.function(examples, run=run), lambda made: sum(made.counts.values())
    )
    passed = Verdict(out, passed=True)
    rates = {"ingest": ingested, "describe": described}
    for scale in ("unit", "standardize"):
        settings = Transform(scale=scale)
        call = lambda run, s=settings: transform.function(examples, passed, contract=contract, settings=s, run=run)  # noqa: E731
        rates[f"transform ({scale})"] = best(out / scale, call, everything)[1]
    return rates


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
