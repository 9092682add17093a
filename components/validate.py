"""validate: the data against its contract."""

from collections.abc import Iterator
from typing import Any

from etils import epy

from components._data.anomalies import against, data_anomalies, few_test_images, near
from components._data.distances import divergence, largest_difference
from pipeline.engine.component import StageRun, component
from schemas import statistics as stats
from schemas.artifacts import Anomaly, Served, Statistics, Verdict
from schemas.contract import Contract, label_title
from schemas.image_counts import ImageCounts
from schemas.judgeable import SliceGates
from schemas.settings.base import Severity
from schemas.settings.validate import Validate

with epy.lazy_imports():
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import anomalies_pb2


@component
def validate(
    statistics: Statistics,
    served: Served | None,
    *,
    contract: Contract,
    checks: Validate,
    gates: SliceGates | None = None,
    run: StageRun,
) -> Verdict:
    """Passes unless an anomaly has severity error. The schema gives types, presence, domains and sizes; its comparators
    limit the drift between splits and against the served model's train split; `checks` gives the rest. Too few
    test images for one of `gates` are a warning.

    Writes `anomalies.pbtxt` (an `Anomalies` proto) and `anomalies.json`.
    """
    splits = statistics.by_split()
    anomalies = [
        anomaly
        for dataset in splits.values()
        for anomaly in (*against(contract, dataset), *data_anomalies(dataset, checks), *near(dataset, checks))
    ]
    if gates is not None and "test" in splits:
        anomalies += few_test_images(gates, ImageCounts.of(splits, len(statistics.leaked())), contract)
    train = splits["train"]
    for name, dataset in splits.items():
        if name not in ("train", "fresh"):  # the drift of new data is checked for spans
            anomalies += _apart(contract, dataset, train, f"{name} against train", name, "skew_comparator", checks.skew)
    if served is not None and (before := served.training_statistics()) is not None:
        anomalies += _apart(
            contract,
            train,
            before,
            f"train against version {served.version}'s",
            "train",
            "drift_comparator",
            checks.drift,
        )
    anomalies = [anomaly for anomaly in anomalies if anomaly.severity != "ignore"]
    Verdict.write_anomalies(run.out, anomalies)
    (run.out / "anomalies.pbtxt").write_text(text_format.MessageToString(_proto(contract, anomalies)), encoding="utf-8")
    errors = tuple(anomaly.message for anomaly in anomalies if anomaly.severity == "error")
    warnings = tuple(anomaly.message for anomaly in anomalies if anomaly.severity == "warning")
    for message in warnings:
        run.log(f"warning: {message}")
    remedy = f"Fix the data or, if the data is correct, the contract ({contract.name}). Nothing was trained."
    return Verdict(
        run.out,
        passed=not errors,
        reasons=errors,
        warnings=warnings,
        remedy=remedy,
        labels=contract.names,
        unused=contract.unused,
    )


def _apart(
    contract: Contract, one: Any, other: Any, compared: str, split: str, comparator: str, severity: Severity
) -> Iterator[Anomaly]:
    """Distributions of labels and pixels that differ by more than the schema's comparator allows."""
    kind = "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH"
    limit = getattr(contract.feature("image"), comparator).jensen_shannon_divergence.threshold
    differs, chance = divergence(one, other)
    if limit and differs > limit + chance:
        differ = f"pixel values differ by a Jensen-Shannon divergence of {differs:.4f}"
        message = f"{compared}: {differ}; {contract.name} allows {limit:.4f}, chance {chance:.4f}"
        yield Anomaly(split, "image", kind, message, severity)
    limit = getattr(contract.feature("label"), comparator).infinity_norm.threshold
    labels = largest_difference(stats.values(one, "label"), stats.values(other, "label"), limit)
    if limit and labels.over:
        title = label_title(int(labels.label), contract.names)
        differ = f"the share of label {title} differs by {labels.value:.3f}"
        message = f"{compared}: {differ}; {contract.name} allows {limit:.3f}, chance {labels.chance:.3f}"
        yield Anomaly(split, "label", "COMPARATOR_L_INFTY_HIGH", message, severity)


def _proto(contract: Contract, anomalies: list[Anomaly]) -> "anomalies_pb2.Anomalies":
    """The findings as TFDV states them."""
    severities = {"error": anomalies_pb2.AnomalyInfo.ERROR, "warning": anomalies_pb2.AnomalyInfo.WARNING}
    proto = anomalies_pb2.Anomalies(baseline=contract.proto)
    for anomaly in anomalies:
        info = proto.anomaly_info[f"{anomaly.split}/{anomaly.feature}"]
        info.path.step[:] = [anomaly.feature]
        info.severity = max(info.severity, severities[anomaly.severity])
        info.short_description = anomaly.kind.replace("_", " ").capitalize()
        info.description = "; ".join(filter(None, [info.description, anomaly.message]))
        info.reason.add(
            type=anomalies_pb2.AnomalyInfo.Type.Value(anomaly.kind),
            short_description=info.short_description,
            description=anomaly.message,
        )
    return proto
