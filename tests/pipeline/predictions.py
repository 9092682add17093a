"""Simulated predictions of two models on synthetic test images, and the metrics that `evaluate` computes from them."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from components._evaluation import paired
from schemas.artifacts import Comparison
from schemas.confusion import Confusion

CLASSES, SIDE, BINS = 10, 28, 15
CORRUPTIONS = {
    "shift": 0.12,
    "rotation": 0.05,
    "noise": 0.2,
    "blur": 0.03,
    "contrast": 0.01,
}  # share of predictions that it changes


@dataclass(frozen=True)
class Predictions:
    """The test images and the predictions of two models: all that the metrics depend on."""

    images: np.ndarray  # uint8 [n, 28, 28, 1]
    labels: np.ndarray  # int64 [n]
    candidate: np.ndarray  # float64 [n, classes]
    baseline: np.ndarray

    @classmethod
    def random(
        cls, n: int = 2000, accuracy: float = 0.985, baseline_accuracy: float = 0.975, seed: int = 1
    ) -> "Predictions":
        """Models whose mistakes overlap, on images with as many bright bars as the label plus one."""
        rng = np.random.default_rng(seed)
        labels = np.arange(n) % CLASSES
        images = np.zeros((n, SIDE, SIDE, 1), np.uint8)
        for i, label in enumerate(labels):
            images[i, 4 : 2 * label + 5 : 2, 6:22, 0] = rng.integers(120, 256)
        hard = rng.random(n) + 0.1 * (labels == 8)  # high values are hard for both models
        return cls(
            images,
            labels,
            *(_probabilities(rng, labels, hard + 0.02 * rng.normal(size=n), a) for a in (accuracy, baseline_accuracy)),
        )

    def corrupted(self, share: float) -> "Predictions":
        """The same, with a share of both models' predictions moved to the next class."""
        turned = np.random.default_rng(2).random(len(self.labels)) < share
        roll = lambda p: np.where(turned[:, None], np.roll(p, 1, 1), p)  # noqa: E731
        return dataclasses.replace(self, candidate=roll(self.candidate), baseline=roll(self.baseline))


def evaluation(
    predictions: Predictions, *, refused: tuple[str, ...] = (), with_baseline: bool = True, leaked: int = 0
) -> dict[str, Any]:
    """The content of each file that stage `evaluate` writes."""
    models = {"candidate": predictions.candidate} | ({"baseline": predictions.baseline} if with_baseline else {})
    metrics = {name: _metrics(predictions, name, p, leaked) for name, p in models.items()}
    comparisons = [_compared(predictions)] if with_baseline else []
    return {
        "metrics": metrics,
        "comparisons": comparisons,
        "gates": list(_gates(metrics["candidate"], comparisons, refused)),
        "gallery": _gallery(predictions, with_baseline),
    }


def _probabilities(rng: np.random.Generator, labels: np.ndarray, hard: np.ndarray, accuracy: float) -> np.ndarray:
    n = len(labels)
    wrong = hard > np.quantile(hard, accuracy)
    predicted = np.where(wrong, (labels + rng.choice([1, 1, 1, 5, 3], n)) % CLASSES, labels)
    logits = rng.normal(0, 0.7, (n, CLASSES))
    logits[np.arange(n), predicted] += np.where(wrong, rng.gamma(3, 1, n), rng.gamma(6, 1, n)) + 1.2
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True)


def _row(labels: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    n, right = len(labels), int((p.argmax(1) == labels).sum())
    bins = _bins(labels, p)
    return {
        "count": n,
        "accuracy": right / n,
        "interval": list(paired.interval(right, n)),
        "loss": float(-np.log(p[np.arange(n), labels]).mean()),
        "brier": float(((p - np.eye(CLASSES)[labels]) ** 2).sum(1).mean()),
        "ece": sum(b["count"] / n * abs(b["confidence"] - b["accuracy"]) for b in bins if b["count"]),
    }


def _bins(labels: np.ndarray, p: np.ndarray) -> list[dict[str, Any]]:
    confidence, right = p.max(1), p.argmax(1) == labels
    where = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for i in range(BINS):
        in_bin, edges = where == i, {"low": i / BINS, "high": (i + 1) / BINS}
        means = (
            {"confidence": float(confidence[in_bin].mean()), "accuracy": float(right[in_bin].mean())}
            if in_bin.any()
            else {}
        )
        bins.append({**edges, "count": int(in_bin.sum()), "confidence": None, "accuracy": None, **means})
    return bins


def _metrics(predictions: Predictions, model: str, p: np.ndarray, leaked: int) -> dict[str, Any]:
    all_labels = predictions.labels
    labels, p = all_labels[leaked:], p[leaked:]
    ink = predictions.images[leaked:].mean((1, 2, 3)) / 255
    inks = {"below 0.1": ink < 0.1, "0.1 to 0.2": (ink >= 0.1) & (ink < 0.2), "from 0.2": ink >= 0.2}
    masks = {f"label={k}": labels == k for k in range(CLASSES)}
    masks |= {f"ink={name}": mask for name, mask in inks.items()}
    masks |= {f"label={k}, ink={name}": (labels == k) & mask for k in (1, 8) for name, mask in inks.items()}
    corrupted = {name: getattr(predictions.corrupted(share), model)[leaked:] for name, share in CORRUPTIONS.items()}
    confusion = np.zeros((CLASSES, CLASSES), int)
    np.add.at(confusion, (labels, p.argmax(1)), 1)
    return {
        "overall": _row(labels, p),
        "slices": {name: _row(labels[mask], p[mask]) for name, mask in masks.items() if mask.any()},
        "corruptions": {name: _row(labels[:1000], s[:1000]) for name, s in corrupted.items()},
        "with_leaked": _row(all_labels, getattr(predictions, model)) if leaked else None,
        "confusion": Confusion.of(confusion.tolist()).as_json(),
        "calibration": _bins(labels, p),
    }


def _compared(predictions: Predictions) -> dict[str, Any]:
    right = [p.argmax(1) == predictions.labels for p in (predictions.candidate, predictions.baseline)]
    comparison = paired.compare(*right, margin=0.004, alpha=0.05)
    message = comparison.message("version 1")
    return Comparison("baseline", 1, message, comparison.difference, comparison).as_row()


def _gates(candidate: dict[str, Any], comparisons: list[dict[str, Any]], refused: tuple[str, ...]) -> Any:
    """Floors just below the measured value, and just above it for the gates in `refused`."""
    gated_rows = [("accuracy", "overall", candidate["overall"])]
    gated_rows += [
        ("per_class", name, row)
        for name, row in candidate["slices"].items()
        if name.startswith("label=") and "," not in name
    ]
    gated_rows += [("slices.ink", name, row) for name, row in candidate["slices"].items() if name.startswith("ink=")]
    for gate, slice_, row in gated_rows:
        refuses = gate in refused or f"{gate}:{slice_}" in refused
        measured, few = row["accuracy"], row["count"] < 30
        floor = measured + 0.004 if refuses else measured - 0.0105
        subject = "accuracy" if slice_ == "overall" else f"accuracy on {slice_}"
        message = (
            f"{subject} is {measured:.4f}; gates.{gate} requires {floor:.4f} ({floor - measured:.4f} short)"
            if refuses
            else ""
        )
        verdict = "refused" if refuses else "too few examples" if few else "passed"
        margin = "" if few else f"{measured - floor:+.4f}"
        yield {
            "gate": gate, "slice": slice_, "required": f"≥ {floor:.4f}", "came": f"{measured:.4f}", "margin": margin,
            "verdict": verdict, "passed": not refuses, "bound": floor, "value": measured, "words": message,
        }  # fmt: skip
    for c in comparisons:
        measured, margin = (
            f"{c['verdict']}, {100 * c['difference']:+.2f} points",
            f"{c['interval'][0] + c['margin']:+.4f}",
        )
        refuses = "paired" in refused
        yield {
            "gate": "paired", "slice": "overall", "required": "better or equivalent", "came": measured,
            "margin": margin, "verdict": "refused" if refuses else "passed", "passed": not refuses,
            "bound": -c["margin"], "value": c["difference"],
            "words": f"{c['words']}; gates.paired allows: better, equivalent" if refuses else "",
        }  # fmt: skip


def _gallery(predictions: Predictions, with_baseline: bool) -> dict[str, Any]:
    """Entries with `image` as the index; `_files` keeps the images that they refer to."""
    p, labels = predictions.candidate, predictions.labels
    predicted, previous = p.argmax(1), predictions.baseline.argmax(1)

    def entries(chosen: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "image": int(i), "index": int(i), "label": int(labels[i]), "predicted": int(predicted[i]),
                "top": [[int(k), float(p[i, k])] for k in np.argsort(-p[i])[:3]],
                "baseline": int(previous[i]) if with_baseline else None,
            }
            for i in chosen
        ]  # fmt: skip

    by_confidence = np.argsort(-p.max(1), kind="stable")
    selected = {
        "mistakes": predicted != labels,
        "lost": (predicted != labels) & (previous == labels) & with_baseline,
        "gained": (predicted == labels) & (previous != labels) & with_baseline,
    }
    gallery = {name: entries(by_confidence[mask[by_confidence]][:32]) for name, mask in selected.items()}
    return gallery | {"samples": entries(np.concatenate([np.flatnonzero(labels == k)[:8] for k in range(CLASSES)]))}
