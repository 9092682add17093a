"""Lines on folders of images, compared with a bare loop of the decoder and with bare Keras scripts.

python -m tests.benchmarks.photos FOLDER OUT     # ingest's images per second / those of the bare loop
"""

import functools
import json
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from components._data.images import SUFFIXES, decoder
from components.ingest import ingest
from components.sources.reading import place_of
from schemas.artifacts import SourceData
from schemas.settings.source import Folder
from tests.benchmarks.rates import CALLS, BenchmarkRun
from tests.benchmarks.table import Row, at_least, at_most, result, timed


@dataclass(frozen=True)
class Training:
    """What the line and the bare script train: the same network, batch, epochs and augmentation."""

    filters: list[int]
    epochs: int
    ratio: float  # of the line's time to the bare script's, to reach
    side: int | None = None  # that photos are resized to

    @property
    def settings(self) -> dict[str, object]:
        model = {"kind": "cnn", "filters": self.filters, "pooling": "average", "flip": True, "zoom": 0.1}
        return {"model": model, "epochs": self.epochs, "batch_size": 32}


TRAININGS = {
    "cats_dogs": Training([16, 32, 64, 128], epochs=20, ratio=0.5, side=128),
    "cifar10": Training([32, 64, 128], epochs=10, ratio=0.6),
}


def rows(name: str, folder: Path, work: Path) -> list[Row]:
    training, here, folder = TRAININGS[name], work / name, folder.absolute()
    here.mkdir()
    gateline = [sys.executable, "-m", "pipeline"]
    timed([*gateline, "init", str(folder), "--root", "drafts"], here)
    config = yaml.safe_load((here / "gateline.yaml").read_text(encoding="utf-8"))
    config["train"] = training.settings
    if training.side:
        config["transform"] = {"size": [training.side, training.side]}
    (here / "gateline.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    # A refused model has been evaluated; only the push is skipped.
    line = timed([*gateline, "run", "--root", "pixels"], here, allowed=(0, 3))[0]
    model = next((here / "pixels/artifacts/train").glob("*/model.keras"))
    script = ["tests.benchmarks.bare_photos", str(folder), str(model), str(training.epochs)]
    bare = timed([sys.executable, "-m", *script])[0]
    measured = [
        at_most(f"{name}: whole line / bare Keras script", line / bare, training.ratio),
        ("  the line, cold", f"{line:.1f} s", "", None),
        ("  the bare script", f"{bare:.1f} s", "", None),
    ]
    return measured + (stored(folder, here, training.side) if training.side else [])


def stored(folder: Path, here: Path, side: int) -> list[Row]:
    """Speed of ingest, and the stored bytes per delivered byte, of photos."""
    none = ["--root", "none", "--until", "transform", "--set", "transform.materialize=none"]
    timed([sys.executable, "-m", "pipeline", "run", *none], here)
    paths = _images(folder)
    delivered = sum(path.stat().st_size for path in paths)
    pixels = side * side * 3 * len(paths)
    return [
        at_least("  ingest / a loop of the decoder on all cores", result(__name__, str(folder), str(here)), 0.7),
        at_most("  records and features / delivered, none", on_disk(here / "none") / delivered, 1.2),
        at_most(
            "  records and features / delivered, pixels", on_disk(here / "pixels") / delivered, 1 + pixels / delivered
        ),
    ]


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


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
        source = Folder(folder=str(folder))
        started = time.perf_counter()
        data = SourceData(Path(), version="", files=0, contents="")
        examples = ingest.function(data, source=source, place=place_of(source), encoding="encoded", run=run)
        rates.append(sum(split.count for split in examples.splits.values()) / (time.perf_counter() - started))
    return max(rates)


def on_disk(root: Path) -> int:
    """Bytes of records and features; linked files count once."""
    files = [path.stat() for stage in ("ingest", "transform") for path in root.glob(f"artifacts/{stage}/*/*.tfrecord")]
    return sum({status.st_ino: status.st_size for status in files}.values())


if __name__ == "__main__":
    images, out = Path(sys.argv[1]), Path(sys.argv[2])
    print(json.dumps(ingest_rate(images, out) / bare_rate(_images(images))))
