"""admit: checks each span, and quarantines those that are unreadable or break the contract."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from components._data import shard_statistics
from components._data.anomalies import against, data_anomalies
from components._data.distances import brightness_shift, divergence, largest_difference
from components._data.duplicates import duplicates
from pipeline.engine.component import StageRun, component
from schemas import statistics as stats
from schemas.artifacts import Admission, Collected, Served, Statistics
from schemas.contract import Contract, label_title
from schemas.settings.spans import Drift, in_order
from schemas.settings.validate import Validate


@component
def admit(
    spans: Collected,
    statistics: Statistics,
    served: Served | None,
    *,
    contract: Contract,
    checks: Validate,
    drift: Drift,
    run: StageRun,
) -> Admission:
    """The spans that may be trained on. Passes unless a span drifted and `drift.then` is `error`.

    A span that is unreadable or breaks the contract is quarantined, with the reason. A span that is far from the data
    of the served model (of the base dataset, where none is served) is treated as `drift.then` states.
    """
    if served and (kept := served.training_statistics()) is not None:
        reference, reference_name = kept, f"version {served.version}'s"
    else:
        reference, reference_name = statistics.by_split()["train"], "the base dataset's"
    rows = [
        _admission_of(spans, name, reference, reference_name, contract, checks, drift) for name in in_order(spans.spans)
    ]
    Admission.write_rows(run.out, rows)
    drifted = {row["span"]: row["drift"] for row in rows if row["drift"]}
    quarantined = {row["span"]: "; ".join(row["errors"]) for row in rows if row["errors"]}
    for row in rows:
        for message in (*row["errors"], *row["warnings"]):
            run.log(f"{'quarantined' if row['errors'] else 'warning'}: {message}")
    return Admission(
        run.out,
        passed=drift.then != "error" or not drifted,
        reasons=tuple(drifted.values()),
        remedy="Look at the span; then remove it, or set spans.drift.then or its limits. Nothing was trained.",
        admitted=tuple(row["span"] for row in rows if not row["errors"]),
        quarantined=quarantined,
        drifted=drifted,
    )


def _admission_of(
    spans: Collected, name: str, reference: Any, reference_name: str, contract: Contract, checks: Validate, drift: Drift
) -> dict[str, Any]:
    """A row of `spans.json`."""
    span = spans.spans[name]
    row: dict[str, Any] = {
        "span": name,
        "date": span.date,
        "images": span.count,
        "errors": [],
        "warnings": [],
        "drift": "",
        "measures": {},
    }
    if span.broken or not span.count:
        return row | {"errors": [span.broken or f"{name} holds no images"]}
    parts = spans.parts(name)
    copies = duplicates({name: [part.with_suffix(".npy") for part in parts]}).within[name]
    dataset = stats.encode(name, shard_statistics.read(parts), copies, {}, {})
    for anomaly in (*against(contract, dataset), *data_anomalies(dataset, checks)):
        if anomaly.severity != "ignore":
            row["errors" if anomaly.severity == "error" else "warnings"].append(anomaly.words)
    if not row["errors"]:
        measured = measures(dataset, reference, drift, contract.names)
        row["measures"] = {measure: dataclasses.asdict(each) for measure, each in measured.items()}
        drifted = [f"{each.words} (spans.drift.{m} allows {each.limit:g})" for m, each in measured.items() if each.over]
        if drifted and drift.then != "ignore":
            row["drift"] = f"{name} is far from {reference_name} training data: {'; '.join(drifted)}"
            row["errors" if drift.then == "quarantine" else "warnings"].append(row["drift"])
    return row


@dataclasses.dataclass(frozen=True)
class Measure:
    """The distance between two sets of images."""

    value: float
    limit: float
    words: str
    over: bool


def measures(new: Any, reference: Any, drift: Drift, names: Sequence[str] = ()) -> dict[str, Measure]:
    """Three distances: the Jensen-Shannon divergence of pixel values (Lin, 1991), the largest difference of a label's
    share, and the largest shift of a label's brightness in standard deviations (Cohen's d, 1988).

    The last also detects labels that were mixed up.
    """
    differs, noise = divergence(new, reference)
    labels = largest_difference(stats.values(new, "label"), stats.values(reference, "label"), drift.labels)
    by_name = {
        "pixels": Measure(
            differs, drift.pixels, f"pixel values differ by {differs:.4f} bits", differs > drift.pixels + noise
        ),
        "labels": Measure(
            labels.value,
            drift.labels,
            f"the share of label {_title(labels.label, names)} differs by {labels.value:.3f}",
            labels.over,
        ),
    }
    if shift := brightness_shift(new, reference, drift.brightness):
        title = _title(shift.label, names)
        message = f"label {title} is brighter or darker by {shift.value:.2f} standard deviations"
        by_name["brightness"] = Measure(shift.value, drift.brightness, message, shift.over)
    return by_name


def _title(label: str, names: Sequence[str]) -> str:
    return label_title(int(label), names) if label else label
