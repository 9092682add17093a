"""The line on a folder of photos, compared with a bare loop of the decoder and a bare Keras script.

python -m tests.benchmarks.photos FOLDER OUT     # FOLDER holds a folder of photos for each label
"""

import functools
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from components._data.images import SUFFIXES, decoder
from components.ingest import ingest
from components.sources.reading import place_of
from schemas.artifacts import SourceData
from schemas.settings.source import Folder
from tests.benchmarks.rates import CALLS, BenchmarkRun

SIDE, EPOCHS = 96, 20
MODEL = {"kind": "cnn", "filters": [16, 32, 64, 128], "pooling": "average", "flip": True, "zoom": 0.1}
GATES = {"accuracy": 0.6, "per_class": 0.55}


def decode(path: Path) -> int:
    return int(_decoder()(path.read_bytes()).size)


@functools.cache
def _decoder():
    return decoder(0, "encoded")


def bare_rate(paths: list[Path]) -> float:
    """Images per second of a loop of the decoder on all cores, after start-up."""
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        pool.map(decode, paths[:100])
        rates = []
        for _ in range(CALLS):
            started = time.perf_counter()
            pool.map(decode, paths, chunksize=50)
            rates.append(len(paths) / (time.perf_counter() - started))
    return max(rates)


def ingest_rate(folder: Path, out: Path) -> float:
    """Images per second of ingest, the best of some calls."""
    rates = []
    for i in range(CALLS):
        run = BenchmarkRun(out / f"ingest{i}", out / f"ingest{i}-scratch")
        for path in (run.out, run.scratch):
            path.mkdir(parents=True)
        source = Folder(folder=str(folder), shard_size=200)
        started = time.perf_counter()
        data = SourceData(Path(), version="", files=0, contents="")
        examples = ingest.function(data, source=source, place=place_of(source), encoding="encoded", run=run)
        rates.append(sum(split.count for split in examples.splits.values()) / (time.perf_counter() - started))
    return max(rates)


def measure(folder: Path, out: Path) -> tuple[float, float, dict[str, float]]:
    """Seconds of the line and of the bare script, and the stored bytes per delivered byte by kind of features."""
    work = out / "line"
    work.mkdir()
    gateline = [sys.executable, "-m", "pipeline"]
    subprocess.run([*gateline, "init", str(folder), "--root", "drafts"], cwd=work, check=True, capture_output=True)
    config = yaml.safe_load((work / "gateline.yaml").read_text(encoding="utf-8"))
    config |= {"transform": {"size": [SIDE, SIDE]}, "gates": config["gates"] | GATES}
    config["train"] = {"model": MODEL, "epochs": EPOCHS, "batch_size": 32}
    (work / "gateline.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    line = timed([*gateline, "run", "--root", "pixels"], work, may_be_refused=True)
    model = next((work / "pixels/artifacts/train").glob("*/model.keras"))
    command = [sys.executable, "-m", "tests.benchmarks.bare_photos", str(folder), str(model), str(EPOCHS)]
    bare = timed(command, Path.cwd())
    none = ["--root", "none", "--until", "transform", "--set", "transform.materialize=none"]
    timed([*gateline, "run", *none], work)
    delivered = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return line, bare, {root: on_disk(work / root) / delivered for root in ("pixels", "none")}


def timed(command: list[str], cwd: Path, *, may_be_refused: bool = False) -> float:
    """Seconds of a cold process. A refused model is evaluated too; only the push is skipped."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode not in ((0, 3) if may_be_refused else (0,)):
        sys.exit(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started


def on_disk(root: Path) -> int:
    """Bytes of records and features; linked files count once."""
    files = [path.stat() for stage in ("ingest", "transform") for path in root.glob(f"artifacts/{stage}/*/*.tfrecord")]
    return sum({status.st_ino: status.st_size for status in files}.values())


def main(folder: Path, out: Path) -> dict[str, float]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    line, bare, sizes = measure(folder, out)
    return {"line": line, "bare": bare, "ingest": ingest_rate(folder, out) / bare_rate(paths)} | sizes


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]))))
