"""Images per second of each data-parallel stage, after start-up, on the whole of MNIST: a line of JSON.

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

import apache_beam  # noqa: F401  (start-up is not what is measured)
import imagecodecs
import pyarrow  # noqa: F401
import tensorflow_datasets as tfds
import tensorflow_transform.beam  # noqa: F401

from components.describe import describe
from components.ingest import ingest
from components.transform import transform
from pipeline.runner import Beam
from schemas.artifacts import Verdict
from schemas.contract import Contract
from schemas.settings import Source, Transform


@dataclass
class Bench:
    """The runner's part, without store and lineage."""

    out: Path
    scratch: Path
    lineage: dict[str, Any] = field(default_factory=dict)
    ahead: None = None

    @contextlib.contextmanager
    def beam(self, *, workers: int = 1) -> Iterator[Any]:
        with Beam().pipeline(workers) as pipeline:
            yield pipeline

    def say(self, text: str) -> None: ...


def timed(out: Path, stage: Callable[[Bench], Any], images: Callable[[Any], int]) -> tuple[Any, float]:
    scratch = out.with_name(f"{out.name}-scratch")
    for folder in (out, scratch):
        folder.mkdir(parents=True)
    started = time.perf_counter()
    made = stage(Bench(out, scratch))
    return made, images(made) / (time.perf_counter() - started)


def main(data_dir: str, out: Path) -> dict[str, float]:
    tfds.builder("mnist", data_dir=data_dir)
    imagecodecs.png_decode  # noqa: B018
    contract = Contract.load("mnist.pbtxt")
    source = Source(tfds="mnist", validation=0.02)
    everything = lambda made: sum(split.count for split in made.splits.values())  # noqa: E731
    examples, ingested = timed(out / "a", lambda r: ingest.function(source=source, data_dir=data_dir, manual_dir=None, run=r), everything)
    _, described = timed(out / "b", lambda r: describe.function(examples, run=r), lambda made: sum(made.counts.values()))
    passed = Verdict(out, passed=True)
    rates = {"ingest": ingested, "describe": described}
    for scale in ("unit", "standardize"):
        settings = Transform(scale=scale)
        call = lambda r, s=settings: transform.function(examples, passed, contract=contract, settings=s, run=r)  # noqa: E731
        rates[f"transform ({scale})"] = timed(out / scale, call, everything)[1]
    return rates


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
