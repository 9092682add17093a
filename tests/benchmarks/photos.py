"""The line on a folder of photos, against a bare loop of the decoder and a bare Keras script, side by side.

python -m tests.benchmarks.photos OUT [FOLDER]     # without FOLDER: 600 generated photos of two classes

FOLDER holds a folder for each label.
"""

import functools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import yaml

from components._data.images import decoder
from components.ingest import ingest
from components.sources.reading import place_of
from schemas.artifacts import SourceData
from schemas.settings.source import Folder
from tests.benchmarks.rates import CALLS, Bench

SIDE, EPOCHS = 96, 5
MODEL = {"kind": "cnn", "filters": [16, 32, 64, 128], "pooling": "average", "flip": True, "zoom": 0.1}
GATES = {"accuracy": 0.51, "per_class": 0.501, "paired": {"margin": 0.004}, "budget": {"margin": 0.008}}


def generated(folder: Path, count: int = 600) -> Path:
    """Soft shapes, brighter on the left or on the right, as JPEG files of several sizes."""
    random = np.random.default_rng(1)
    for i in range(count):
        small = random.integers(0, 200, (8, 8, 3), np.uint8)
        small[:, :4] += np.uint8(50 * (i % 2))
        small[:, 4:] += np.uint8(50 * ((i + 1) % 2))
        size = (300 + i % 200, 250 + i % 150)
        path = folder / ("left" if i % 2 else "right") / f"{i:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(small).resize(size, PIL.Image.Resampling.BICUBIC).save(path, quality=90)
    return folder


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
        run = Bench(out / f"ingest{i}", out / f"ingest{i}-scratch")
        for each in (run.out, run.scratch):
            each.mkdir(parents=True)
        source = Folder(folder=str(folder), shard_size=200)
        started = time.perf_counter()
        data = SourceData(Path(), version="", files=0, contents="")
        made = ingest.function(data, source=source, place=place_of(source), encoding="encoded", run=run)
        rates.append(sum(split.count for split in made.splits.values()) / (time.perf_counter() - started))
    return max(rates)


def whole(folder: Path, out: Path, runs: int) -> tuple[float, float, dict[str, float]]:
    """Median seconds of the line and of the bare script, and by kind of features their bytes per delivered byte."""
    work = out / "line"
    work.mkdir()
    gateline = [sys.executable, "-m", "pipeline"]
    subprocess.run([*gateline, "init", str(folder), "--root", "drafts"], cwd=work, check=True, capture_output=True)
    config = yaml.safe_load((work / "gateline.yaml").read_text(encoding="utf-8"))
    config |= {"transform": {"size": [SIDE, SIDE]}, "gates": GATES}
    config["train"] = {"model": MODEL, "epochs": EPOCHS, "batch_size": 32}
    (work / "gateline.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    lines, bares = [], []
    for i in range(runs):
        started = time.perf_counter()
        done = subprocess.run([*gateline, "run", "--root", f"root{i}"], cwd=work, check=False, capture_output=True)
        lines.append(time.perf_counter() - started)
        if done.returncode not in (0, 3):  # refused by a gate after five epochs: everything but the push was done
            sys.exit(done.stderr.decode()[-3000:])
        model = next((work / f"root{i}/artifacts/train").glob("*/model.keras"))
        command = [sys.executable, "-m", "tests.benchmarks.bare_photos", str(folder), str(model), str(EPOCHS)]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        bares.append(time.perf_counter() - started)
    none = [*gateline, "run", "--root", "none", "--until", "transform", "--set", "transform.materialize=none"]
    subprocess.run(none, cwd=work, check=True, capture_output=True)
    delivered = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    sizes = {kind: on_disk(work / root) / delivered for kind, root in (("pixels", "root0"), ("none", "none"))}
    return statistics.median(lines), statistics.median(bares), sizes


def on_disk(root: Path) -> int:
    """Bytes of records and features; files that are linked count once."""
    files = [path.stat() for stage in ("ingest", "transform") for path in root.glob(f"artifacts/{stage}/*/*.tfrecord")]
    return sum({each.st_ino: each.st_size for each in files}.values())


def main(out: Path, folder: Path | None) -> dict[str, float]:
    folder = folder.absolute() if folder else generated(out / "photos")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    line, bare, sizes = whole(folder, out, CALLS)
    return {
        "ingest": ingest_rate(folder, out) / bare_rate(paths),
        "line": line,
        "bare": bare,
        "ratio": line / bare,
        **sizes,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)))
