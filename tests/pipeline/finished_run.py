"""A store with a finished run, as the stages write it, without running them: metrics come from arrays of predictions.

root = Store(tmp_path / "root").root
number = finish(root)                                        # compared with version 1, and pushed
number = finish(root, Predictions.random(accuracy=0.9), refused=("accuracy",))
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_metadata.proto.v0 import statistics_pb2 as pb

from pipeline.lineage import Lineage, now
from pipeline.store import Store, facts
from schemas import photos, statistics
from schemas.artifacts import (
    Anomaly,
    Artifact,
    Evaluation,
    Examples,
    Features,
    Hyperparameters,
    Model,
    NearCopy,
    ServingCheck,
    Statistics,
    Verdict,
)
from schemas.contract import Contract, slice_title
from tests.pipeline.predictions import CLASSES, SIDE, Predictions, evaluation

STAGES = ("ingest", "describe", "validate", "transform", "tune", "train", "evaluate", "check_serving")


def finish(
    root: Path,
    predictions: Predictions | None = None,
    *,
    refused: tuple[str, ...] = (),
    with_baseline: bool = True,
    leaked: int = 0,
    profile: str = "mnist",
    model: str | None = "mnist",
    command: str = "python -m pipeline run --profile mnist",
    names: tuple[str, ...] = (),
    near_copies: int | None = None,
) -> int:
    """The number of a new run in the store at `root`: refused by the gates named, pushed if there are none.

    `names`: the names of the labels in the contract. `near_copies`: the images are photos, with so many pairs.
    """
    predictions = predictions or Predictions.random()
    store, lineage = Store(root), Lineage.at(root, None)
    config = {"source": {"tfds": "mnist", "test": "test"}, "train": {**_TRAIN}, "push": {"model": model}}
    number = lineage.start(profile=profile, command=command, config=config)
    results = evaluation(predictions, refused=refused, with_baseline=with_baseline, leaked=leaked)
    for gate in results["gates"]:
        title = slice_title(gate["slice"], names)
        gate |= {"on": title, "words": gate["words"].replace(gate["slice"], title)}
    stages = STAGES[: STAGES.index("evaluate") + 1] if refused else STAGES
    for i, stage in enumerate(stages):
        key = f"{number:04d}{i:012d}"
        with store.staging(stage, key) as out:
            _files(stage, out, predictions, results)
            if stage == "describe" and near_copies is not None:
                _photos(out, near_copies)
            settings = (
                {"contract": dataclasses.asdict(contract_with_names(names))}
                if stage in ("validate", "evaluate")
                else {}
            )
            recipe = {"code": {}, "settings": settings, "inputs": {}, "versions": {"numpy": "2.3.5", "keras": "3.15.0"}}
            artifact = store.commit(_artifact(stage, out, results, refused, names), stage, key, recipe, now())
        reused = stage in ("ingest", "describe")
        lineage.executed(
            number, stage, state="reused" if reused else "ran",
            why="nothing changed" if reused else "epochs changed from 5 to 10", seconds=0.0 if reused else 1.5 * i,
            key=key, digest=artifact.digest, path=str(artifact.path), facts=facts(artifact),
        )  # fmt: skip
    if refused:
        messages = "\n         ".join(gate["words"] for gate in results["gates"] if not gate["passed"])
        lineage.finish(
            number, state="refused", exit_code=3, message=f"refused: {messages}\n  Train better, or lower the gate."
        )
    else:
        served = root / "serving" / "mnist" / "2"
        served.mkdir(parents=True, exist_ok=True)
        pushed = {"version": 2, "new": True}
        lineage.executed(
            number,
            "push",
            state="ran",
            why="runs every time",
            seconds=0.1,
            digest="f" * 64,
            path=str(served),
            facts=pushed,
        )
        lineage.finish(number, state="pushed", exit_code=0)
    lineage.engine.dispose()
    return number


def contract_with_names(names: tuple[str, ...]) -> Contract:
    """MNIST's contract with names for its labels."""
    domain = "".join(f"  value: {json.dumps(name)}\n" for name in names)
    return Contract(
        "mnist.pbtxt", Contract.load("mnist.pbtxt").text + f'string_domain {{\n  name: "label"\n{domain}}}\n'
    )


def _files(stage: str, out: Path, predictions: Predictions, results: dict[str, Any]) -> None:
    if stage == "describe":
        _statistics(out / "stats.tfrecord", {"train": 5400, "validation": 600, "test": len(predictions.labels)})
    elif stage == "validate":
        _write(
            out / "anomalies.json",
            [Anomaly("train", "image", "LOW", "train: 12 images are copies of another one", "warning").as_row()],
        )
    elif stage == "train":
        _write(out / "history.json", _HISTORY)
    elif stage == "evaluate":
        for name in ("metrics", "comparisons", "gates"):
            _write(out / f"{name}.json", results[name])
        used = sorted({entry["image"] for entries in results["gallery"].values() for entry in entries})
        kept = {
            name: [e | {"image": used.index(e["image"])} for e in entries]
            for name, entries in results["gallery"].items()
        }
        _write(out / "gallery.json", kept)
        np.save(out / "gallery.npy", predictions.images[used])
    elif stage == "check_serving":
        _write(out / "serving.json", _SERVING)


def _photos(out: Path, near_copies: int) -> None:
    """Statistics of photos, of which those of class 3 are dark PNGs, and pairs of near copies."""
    datasets = statistics.read(out / "stats.tfrecord")
    for split, dataset in datasets.items():
        counts = {}
        for k in range(CLASSES):
            is_unusual = k == 3
            facts = {
                "format": "png" if is_unusual else "jpeg",
                "mode": "RGB",
                "orientation": 0,
                "bytes": 21_000,
                "side": 375,
            }
            seen = {"aspect": 133, "brightness": 40 if is_unusual else 110 + k, "contrast": 50 + k, "sharpness": 1000}
            counts |= {(k, name, value): dataset.num_examples // CLASSES for name, value in (facts | seen).items()}
        counts[0, "orientation", 6] = counts.pop((0, "orientation", 0)) if split == "test" else 0
        photos.add(dataset, {key: count for key, count in counts.items() if count}, dataset.num_examples)
    _write_statistics(out / "stats.tfrecord", pb.DatasetFeatureStatisticsList(datasets=datasets.values()))
    if near_copies:
        Statistics.write_near_copies(out, [("test", i, "train", 7 * i) for i in range(near_copies)])
        shown = min(24, near_copies)
        pairs = [
            (NearCopy("test", i, i % 10, 300, 400), NearCopy("train", 7 * i, 5 if i == 3 else i % 10, 150, 200))
            for i in range(shown)
        ]
        noise = np.random.default_rng(1).integers(0, 256, (2 * shown, 128, 128, 3), np.uint8)
        Statistics.write_near_pictures(out, pairs, noise)


def _statistics(path: Path, counts: dict[str, int]) -> None:
    proto = pb.DatasetFeatureStatisticsList()
    for split, count in counts.items():
        dataset = proto.datasets.add(name=split, num_examples=count)
        image = dataset.features.add(type=pb.FeatureNameStatistics.BYTES)
        image.path.step.append("image")
        image.custom_stats.add(name="duplicates", num=12 if split == "train" else 0)
        label = dataset.features.add(type=pb.FeatureNameStatistics.INT)
        label.path.step.append("label")
        for k in range(CLASSES):
            label.string_stats.rank_histogram.buckets.add(
                label=str(k), sample_count=count / CLASSES + (k - 4.5) * count / 300
            )
    _write_statistics(path, proto)


def _write_statistics(path: Path, found: pb.DatasetFeatureStatisticsList) -> None:
    """As describe writes them, without TensorFlow: a TFRecord is a length, its CRC, the record, its CRC."""
    record = found.SerializeToString(deterministic=True)
    path.write_bytes(len(record).to_bytes(8, "little") + bytes(4) + record + bytes(4))


def _artifact(
    stage: str, out: Path, results: dict[str, Any], refused: tuple[str, ...], names: tuple[str, ...]
) -> Artifact:
    overall = results["metrics"]["candidate"]["overall"]
    if stage == "ingest":
        return Examples(out, splits={}, source="mnist:3.0.1")
    if stage == "describe":
        return Statistics(out, counts={"test": overall["count"], "train": 5400, "validation": 600})
    if stage == "validate":
        return Verdict(out, passed=True, labels=names)
    if stage == "transform":
        return Features(out, splits={}, shape=(SIDE, SIDE, 1), classes=CLASSES, one_hot=False)
    if stage == "tune":
        return Hyperparameters(out, origin="configured")
    if stage == "train":
        return Model(out, epochs=len(_HISTORY), validation_accuracy=_HISTORY[-1]["val_accuracy"])
    if stage == "evaluate":
        baseline = 1 if "baseline" in results["metrics"] else None
        measurements = {"accuracy": overall["accuracy"], "loss": overall["loss"]}
        return Evaluation(out, passed=not refused, saved_model="5" * 64, baseline=baseline, **measurements)
    measurements = {"load_seconds": 0.21, "latency_ms": 0.4, "p99_ms": 0.9, "memory_mb": 61.4, "difference": 1e-7}
    return ServingCheck(out, passed=True, **measurements)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


_HISTORY = [
    {"loss": 0.4 / e, "accuracy": 1 - 0.1 / e, "val_loss": 0.4 / e + 0.01 * e, "val_accuracy": 1 - 0.1 / e - 0.002 * e}
    for e in range(1, 11)
]
_SERVING = {
    "load_seconds": 0.21,
    "difference": 1e-7,
    "memory": {"tensorflow_mb": 740.2, "loaded_mb": 12.5, "peak_mb": 61.4},
    "latency": [
        {"signature": name, "batch": batch, "calls": 120, "p50_ms": ms, "p95_ms": 1.5 * ms, "p99_ms": 2.25 * ms}
        for name in ("serving_default", "images")
        for batch, ms in ((1, 0.4), (8, 0.6), (32, 1.2))
    ],
}
_TRAIN = {
    "model": {"kind": "mlp", "layers": [512, 256], "dropout": 0.2},
    "optimizer": {"name": "adam", "learning_rate": 0.002},
    "loss": "sparse_categorical_crossentropy",
    "epochs": 10,
    "seed": 1,
}
