"""The line on MNIST, a bare Keras script of the same training, and the speed of the stages.

python -m tests.benchmarks.mnist FOLDER WORK     # FOLDER: the original files; "" to download them
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.table import Row, at_least, at_most, result, timed

GATELINE = [sys.executable, "-m", "pipeline"]
PREPARE = """
import sys, numpy as np, tensorflow_datasets as tfds
builder = tfds.builder("mnist", data_dir=sys.argv[1])
builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=sys.argv[3] or None))
arrays = {}
for split in ("train", "test"):
    batch = next(builder.as_dataset(split=split).batch(60000).as_numpy_iterator())
    arrays |= {f"x_{split}": batch["image"][..., 0], f"y_{split}": batch["label"]}
np.savez(sys.argv[2], **arrays)
"""


def rows(folder: str, work: Path, runs: int) -> list[Row]:
    data, arrays = str(work / "tfds"), str(work / "mnist.npz")
    timed([sys.executable, "-c", PREPARE, data, arrays, folder])
    line_seconds, bare_seconds, memory, rounds = [], [], [], []
    for i in range(runs):
        line = [*GATELINE, "run", "--profile", "seed_adam", "--set", f"source.data_dir={data}", "--json"]
        line += ["--root", str(work / f"root{i}")]
        seconds, peak, output = timed(line)
        line_seconds.append(seconds)
        memory.append(peak)
        accuracy = json.loads(output)["stages"]["evaluate"]["accuracy"]
        bare, _, bare_output = timed([sys.executable, "-m", "tests.benchmarks.bare_mnist", arrays])
        bare_seconds.append(bare)
        with tempfile.TemporaryDirectory(dir=work) as out:  # a gigabyte
            rounds.append(result("tests.benchmarks.rates", data, out))
        print(
            f"line {seconds:.1f} s ({accuracy:.4f})   bare {bare:.1f} s ({float(bare_output.split()[-1]):.4f})   ratio "
            f"{seconds / bare:.2f}",
            flush=True,
        )
    cached = statistics.median(timed(line)[0] for _ in range(5))
    help_ = statistics.median(timed([*GATELINE, "--help"])[0] for _ in range(5))
    sample = [timed([*GATELINE, "run", "--root", str(work / f"sample{i}")])[0] for i in range(runs)]
    evaluated = result("tests.benchmarks.evaluation", data, str(work / "root0"))
    ratio = statistics.median(a / b for a, b in zip(line_seconds, bare_seconds, strict=True))
    # A shared machine can be slow for minutes: the best of all rounds.
    rates = {stage: max(rates_of_round[stage] for rates_of_round in rounds) for stage in rounds[0]}
    return [
        at_most("MNIST: whole line / bare Keras script", ratio, 0.45),
        ("  the line, cold", f"{statistics.median(line_seconds):.1f} s", "", None),
        ("  the bare script", f"{statistics.median(bare_seconds):.1f} s", "", None),
        at_most("sample profile, cold", statistics.median(sample), 10, "s"),
        at_most("cached re-run", cached, 1.5, "s"),
        at_most("--help", help_, 0.4, "s"),
        *(
            at_least(f"{stage}, images/s", rate, 15_000 if "transform" in stage else 30_000)
            for stage, rate in rates.items()
        ),
        at_most("evaluation of two models on 10,000 images", evaluated["first"], 8, "s"),
        at_most("peak memory of the line", max(memory), 2.5, "GB"),
    ]
