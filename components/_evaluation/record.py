"""TFMA's results as JSON values."""

from pathlib import Path
from typing import Any

from etils import epy

from components._evaluation import evaluator, metrics, paired
from schemas.confusion import Confusion
from schemas.settings.evaluate import bins

with epy.lazy_imports():
    import tensorflow_model_analysis as tfma


def figures(output: Path, model: str, plan: "evaluator.EvaluationPlan") -> dict[str, Any]:
    """TFMA's record of one model as JSON values."""
    result = tfma.load_eval_result(str(output), model_name=model)
    rows = {
        key: _row({name: next(iter(v.values())) for name, v in values[""][""].items()})
        for key, values in result.slicing_metrics
    }
    plots = dict(result.plots)[()][""][""]
    entries = plots["multiClassConfusionMatrixAtThresholds"]["matrices"][0]["entries"]  # protos omit a 0
    cells = ((e.get("actualClassId", 0), e.get("predictedClassId", 0), int(e["numWeightedExamples"])) for e in entries)
    apart = (evaluator.CORRUPTION, evaluator.LEAKED, evaluator.FRESH)
    sliced = [key for key in rows if key and key[0][0] not in apart]
    named = {_slice_name(key, plan): rows[key] for key in sorted(sliced, key=lambda key: _order(key, plan))}
    leaked = rows.get(((evaluator.LEAKED, "yes"),))
    return {
        "overall": rows[()],
        "slices": named,
        "corruptions": {
            c: rows[((evaluator.CORRUPTION, c),)] for c in plan.corruptions if ((evaluator.CORRUPTION, c),) in rows
        },
        "fresh": rows.get(((evaluator.FRESH, "yes"),)),
        "with_leaked": _joined(rows[()], leaked) if leaked else None,
        "confusion": Confusion.of_cells(plan.classes, cells).as_json(),
        "calibration": [_bucket(bucket) for bucket in plots["calibrationHistogramBuckets"]["buckets"]],
    }


def _row(values: dict[str, Any]) -> dict[str, Any]:
    """TFMA writes NaN as the string "NaN"."""
    count, accuracy = int(values[metrics.EXAMPLE_COUNT]), float(values[metrics.ACCURACY])
    names = {"loss": metrics.LOSS, "brier": metrics.BRIER, "ece": metrics.ECE, "upper": metrics.UPPER}
    interval = paired.interval(round(accuracy * count), count)
    return {"count": count, "accuracy": accuracy, "interval": list(interval)} | {
        k: float(values[v]) for k, v in names.items()
    }


def _joined(row: dict[str, Any], leaked: dict[str, Any]) -> dict[str, Any]:
    """Count and means of two sets together, without metrics that are no means (calibration error, bounds)."""
    count = row["count"] + leaked["count"]
    means = {k: (row[k] * row["count"] + leaked[k] * leaked["count"]) / count for k in ("accuracy", "loss", "brier")}
    return {
        "count": count,
        **means,
        "interval": list(paired.interval(round(means["accuracy"] * count), count)),
        "ece": None,
    }


def _bucket(bucket: dict[str, Any]) -> dict[str, Any]:
    count = float(bucket.get("numWeightedExamples", 0))
    mean = lambda name: float(bucket.get(name, 0)) / count if count else None  # noqa: E731
    edges = {"low": bucket.get("lowerThresholdInclusive", 0.0), "high": bucket["upperThresholdExclusive"]}
    return {
        **edges,
        "count": int(count),
        "confidence": mean("totalWeightedRefinedPrediction"),
        "accuracy": mean("totalWeightedLabel"),
    }


def _order(key: tuple[tuple[str, Any], ...], plan: "evaluator.EvaluationPlan") -> tuple[Any, ...]:
    """Slicings as configured; labels by number, measures from low to high."""
    values = dict(key)
    slicing = next(i for i, features in enumerate(plan.slicings) if set(features) == set(values))
    ranks = [
        (bins(plan.derived[name]).index(values[name]), "")
        if name in plan.derived
        else (values[name], "")
        if isinstance(values[name], int)
        else (0, values[name])
        for name in plan.slicings[slicing]
    ]
    return slicing, ranks


def _slice_name(key: tuple[tuple[str, Any], ...], plan: "evaluator.EvaluationPlan") -> str:
    """Features in the order of the configuration: label=3, ink=below 0.1."""
    values = dict(key)
    features = next(features for features in plan.slicings if set(features) == set(values))
    return ", ".join(f"{name}={values[name]}" for name in features)
