"""admit: checks each span, and quarantines those that are unreadable or break the contract."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from components._data import shard_statistics
from components._data.anomalies import against, data_anomalies
from components._data.distances import brightness_shift, divergence, largest_difference
from components._data.duplicates import duplicates
from pipeline.engine.component import StageRun, component
from schemas import statistics as stats
from schemas.artifacts import Admission, Collected, Measure, Served, SpanDecision, Statistics
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

    A span that is unreadable or breaks the contract is quarantined, with the reason. `drift.then` states what happens
    to a span that has drifted from the training data of the served model, or from the base dataset if none is served.
    """
    if served and (kept := served.training_statistics()) is not None:
        reference, reference_name = kept, f"version {served.version}'s"
    else:
        reference, reference_name = statistics.by_split()["train"], "the base dataset's"
    decisions = [
        _decision(spans, name, reference, reference_name, contract, checks, drift) for name in in_order(spans.spans)
    ]
    Admission.write_decisions(run.out, decisions)
    drifted = {each.span: each.drift for each in decisions if each.drift}
    for each in decisions:
        for message in (*each.errors, *each.warnings):
            run.log(f"{'quarantined' if each.errors else 'warning'}: {message}")
    return Admission(
        run.out,
        passed=drift.then != "error" or not drifted,
        reasons=tuple(drifted.values()),
        remedy="Inspect the span. Remove it, or change spans.drift. Nothing was trained.",
        admitted=tuple(each.span for each in decisions if not each.errors),
        quarantined={each.span: "; ".join(each.errors) for each in decisions if each.errors},
        drifted=drifted,
    )


def _decision(
    spans: Collected, name: str, reference: Any, reference_name: str, contract: Contract, checks: Validate, drift: Drift
) -> SpanDecision:
    span = spans.spans[name]
    decision = SpanDecision(name, span.date, span.count)
    if span.broken or not span.count:
        return replace(decision, errors=[span.broken or f"{name} holds no images"])
    parts = spans.parts(name)
    copies = duplicates({name: [part.with_suffix(".npy") for part in parts]}).within[name]
    dataset = stats.encode(name, shard_statistics.read(parts), copies, {}, {})
    anomalies = [*against(contract, dataset), *data_anomalies(dataset, checks)]
    errors = [anomaly.message for anomaly in anomalies if anomaly.severity == "error"]
    warnings = [anomaly.message for anomaly in anomalies if anomaly.severity == "warning"]
    decision = replace(decision, errors=errors, warnings=warnings)
    if errors:
        return decision
    return _with_drift(decision, measures(dataset, reference, drift, contract.names), drift, reference_name)


def _with_drift(
    decision: SpanDecision, measured: dict[str, Measure], drift: Drift, reference_name: str
) -> SpanDecision:
    """The decision on a span without errors, after its distance from the reference was measured."""
    decision = replace(decision, measures=measured)
    over = [f"{each.words} (spans.drift.{m} allows {each.limit:g})" for m, each in measured.items() if each.over]
    if not over or drift.then == "ignore":
        return decision
    message = f"{decision.span} has drifted from {reference_name} training data: {'; '.join(over)}"
    if drift.then == "quarantine":
        return replace(decision, drift=message, errors=[message])
    return replace(decision, drift=message, warnings=[*decision.warnings, message])


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
