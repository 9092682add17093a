"""Answers of two models to drawn test images, and the figures of stage `evaluate` that follow from them."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from components._evaluation import paired

CLASSES, SIDE, BINS = 10, 28, 15
CORRUPTIONS = {
    "shift": 0.12,
    "rotation": 0.05,
    "noise": 0.2,
    "blur": 0.03,
    "contrast": 0.01,
}  # share of answers that it spoils


@dataclass(frozen=True)
class Answers:
    """The test images and what two models said: all that the figures follow from."""

    images: np.ndarray  # uint8 [n, 28, 28, 1]
    labels: np.ndarray  # int64 [n]
    candidate: np.ndarray  # float64 [n, classes]
    baseline: np.ndarray

    @classmethod
    def drawn(cls, n: int = 2000, accuracy: float = 0.985, before: float = 0.975, seed: int = 1) -> "Answers":
        """Models whose mistakes overlap, on pictures of as many bright bars as the label says."""
        rng = np.random.default_rng(seed)
        labels = np.arange(n) % CLASSES
        images = np.zeros((n, SIDE, SIDE, 1), np.uint8)
        for i, label in enumerate(labels):
            images[i, 4 : 2 * label + 5 : 2, 6:22, 0] = rng.integers(120, 256)
        hard = rng.random(n) + 0.1 * (labels == 8)  # the last are the hard ones, for both models
        return cls(
            images,
            labels,
            *(_probabilities(rng, labels, hard + 0.02 * rng.normal(size=n), a) for a in (accuracy, before)),
        )

    def spoilt(self, share: float) -> "Answers":
        """The same, with some answers of both models turned to the next class."""
        turned = np.random.default_rng(2).random(len(self.labels)) < share
        roll = lambda p: np.where(turned[:, None], np.roll(p, 1, 1), p)  # noqa: E731
        return dataclasses.replace(self, candidate=roll(self.candidate), baseline=roll(self.baseline))


def evaluation(
    answers: Answers, *, refused: tuple[str, ...] = (), with_baseline: bool = True, leaked: int = 0
) -> dict[str, Any]:
    """What stage evaluate writes, by file."""
    models = {"candidate": answers.candidate} | ({"baseline": answers.baseline} if with_baseline else {})
    metrics = {name: _metrics(answers, name, p, leaked) for name, p in models.items()}
    comparisons = [_compared(answers)] if with_baseline else []
    return {
        "metrics": metrics,
        "comparisons": comparisons,
        "gates": list(_gates(metrics["candidate"], comparisons, refused)),
        "gallery": _gallery(answers, with_baseline),
    }


def _probabilities(rng: np.random.Generator, labels: np.ndarray, hard: np.ndarray, accuracy: float) -> np.ndarray:
    n = len(labels)
    wrong = hard > np.quantile(hard, accuracy)
    said = np.where(wrong, (labels + rng.choice([1, 1, 1, 5, 3], n)) % CLASSES, labels)
    logits = rng.normal(0, 0.7, (n, CLASSES))
    logits[np.arange(n), said] += np.where(wrong, rng.gamma(3, 1, n), rng.gamma(6, 1, n)) + 1.2
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
    found = []
    for i in range(BINS):
        held, edges = where == i, {"low": i / BINS, "high": (i + 1) / BINS}
        means = (
            {"confidence": float(confidence[held].mean()), "accuracy": float(right[held].mean())} if held.any() else {}
        )
        found.append({**edges, "count": int(held.sum()), "confidence": None, "accuracy": None, **means})
    return found


def _metrics(answers: Answers, model: str, p: np.ndarray, leaked: int) -> dict[str, Any]:
    every = answers.labels
    labels, p = every[leaked:], p[leaked:]
    ink = answers.images[leaked:].mean((1, 2, 3)) / 255
    inks = {"below 0.1": ink < 0.1, "0.1 to 0.2": (ink >= 0.1) & (ink < 0.2), "from 0.2": ink >= 0.2}
    masks = {f"label={k}": labels == k for k in range(CLASSES)}
    masks |= {f"ink={name}": mask for name, mask in inks.items()}
    masks |= {f"label={k}, ink={name}": (labels == k) & mask for k in (1, 8) for name, mask in inks.items()}
    spoilt = {name: getattr(answers.spoilt(share), model)[leaked:] for name, share in CORRUPTIONS.items()}
    confusion = np.zeros((CLASSES, CLASSES), int)
    np.add.at(confusion, (labels, p.argmax(1)), 1)
    return {
        "overall": _row(labels, p),
        "slices": {name: _row(labels[mask], p[mask]) for name, mask in masks.items() if mask.any()},
        "corruptions": {name: _row(labels[:1000], s[:1000]) for name, s in spoilt.items()},
        "with_leaked": _row(every, getattr(answers, model)) if leaked else None,
        "confusion": confusion.tolist(),
        "calibration": _bins(labels, p),
    }


def _compared(answers: Answers) -> dict[str, Any]:
    right = [p.argmax(1) == answers.labels for p in (answers.candidate, answers.baseline)]
    found = paired.compare(*right, margin=0.004, alpha=0.05)
    words = found.words("version 1")
    return {
        "with": "baseline",
        "version": 1,
        "by": "paired",
        "words": words,
        **dataclasses.asdict(found),
        "interval": list(found.interval),
    }


def _gates(candidate: dict[str, Any], comparisons: list[dict[str, Any]], refused: tuple[str, ...]) -> Any:
    """Floors a little below what came; a little above it for the gates that shall refuse."""
    asked = [("accuracy", "overall", candidate["overall"])]
    asked += [
        ("per_class", name, row)
        for name, row in candidate["slices"].items()
        if name.startswith("label=") and "," not in name
    ]
    asked += [("slices.ink", name, row) for name, row in candidate["slices"].items() if name.startswith("ink=")]
    for gate, slice_, row in asked:
        no = gate in refused or f"{gate}:{slice_}" in refused
        came, few = row["accuracy"], row["count"] < 30
        floor = came + 0.004 if no else came - 0.0105
        subject = "accuracy" if slice_ == "overall" else f"accuracy on {slice_}"
        words = f"{subject} is {came:.4f}; gates.{gate} requires {floor:.4f} ({floor - came:.4f} short)" if no else ""
        verdict = "refused" if no else "too few examples" if few else "passed"
        margin = "" if few else f"{came - floor:+.4f}"
        yield {
            "gate": gate, "slice": slice_, "required": f"≥ {floor:.4f}", "came": f"{came:.4f}", "margin": margin,
            "verdict": verdict, "passed": not no, "bound": floor, "value": came, "words": words,
        }  # fmt: skip
    for c in comparisons:
        came, margin = f"{c['verdict']}, {100 * c['difference']:+.2f} points", f"{c['interval'][0] + c['margin']:+.4f}"
        no = "paired" in refused
        yield {
            "gate": "paired", "slice": "overall", "required": "better or equivalent", "came": came, "margin": margin,
            "verdict": "refused" if no else "passed", "passed": not no, "bound": -c["margin"], "value": c["difference"],
            "words": f"{c['words']}; gates.paired allows: better, equivalent" if no else "",
        }  # fmt: skip


def _gallery(answers: Answers, with_baseline: bool) -> dict[str, Any]:
    """Entries with `image` as the index; `_files` keeps the images that are named."""
    p, labels = answers.candidate, answers.labels
    said, before = p.argmax(1), answers.baseline.argmax(1)

    def entries(chosen: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "image": int(i), "index": int(i), "label": int(labels[i]), "predicted": int(said[i]),
                "top": [[int(k), float(p[i, k])] for k in np.argsort(-p[i])[:3]],
                "baseline": int(before[i]) if with_baseline else None,
            }
            for i in chosen
        ]  # fmt: skip

    sure = np.argsort(-p.max(1), kind="stable")
    picked = {
        "mistakes": said != labels,
        "lost": (said != labels) & (before == labels) & with_baseline,
        "gained": (said == labels) & (before != labels) & with_baseline,
    }
    found = {name: entries(sure[mask[sure]][:32]) for name, mask in picked.items()}
    return found | {"samples": entries(np.concatenate([np.flatnonzero(labels == k)[:8] for k in range(CLASSES)]))}
