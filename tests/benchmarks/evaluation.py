"""Seconds of evaluation after imports: 10,000 images, candidate and served model, overall and by class, with confusion
matrix, calibration, corruptions and the paired test. Prints a line of JSON.

python -m tests.benchmarks.evaluation DATA_DIR ROOT    # ROOT: with a run of the profile seed_adam
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import tensorflow_model_analysis  # noqa: F401  (start-up is not measured)

from components.evaluate import evaluate
from pipeline.config import load
from pipeline.runs import line_run
from schemas.artifacts import Best, Served
from schemas.contract import Contract
from tests.benchmarks.rates import BenchmarkRun

CALLS = 3


def main(data_dir: str, root: Path) -> dict[str, float]:
    config = load(profile="seed_adam", sets=[f"source.data_dir={data_dir}"])
    artifacts = {step.name: step.artifact for step in line_run.plan(config, line_run.LineOptions(root))}
    version = root / "serving" / config.push.model / "1"
    served = Served(version, digest="served", version=1)
    best = Best(version, digest="served", version=1, accuracy=1.0, kept=True, same_test=True)
    inputs = (artifacts["train"], artifacts["ingest"], artifacts["describe"], served, best)
    seconds = []
    for _ in range(CALLS):
        with tempfile.TemporaryDirectory() as folder:
            run = BenchmarkRun(Path(folder) / "out", Path(folder) / "scratch")
            run.out.mkdir()
            started = time.perf_counter()
            evaluation = evaluate.function(
                *inputs,
                contract=Contract.load(config.contract),
                gates=config.gates,
                settings=config.evaluate,
                transform=config.transform,
                run=run,
            )
            seconds.append(time.perf_counter() - started)
            assert evaluation.passed
    return {"seconds": min(seconds), "first": seconds[0]}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
