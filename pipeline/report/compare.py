"""Comparison of two runs: differences of settings, data and metrics, and a paired comparison of the two models on the
same test images.

comparison = compare(Store(root), lineage, lineage.run(3), lineage.run(7))
comparison.paired["words"]    # "0.31 points better than run 3 (...)"
"""

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from pipeline.lineage import Lineage
from pipeline.report import spans, terminal
from pipeline.report.paired_comparison import Evaluated, paired_comparison
from pipeline.report.shortened import ROWS
from pipeline.report.times import local
from pipeline.runs.artifacts import RunArtifacts
from pipeline.store import Store
from schemas.artifacts import Admission, Evaluation, Examples, Mixture, Statistics
from schemas.contract import slice_title
from schemas.errors import ConfigurationError

Json = dict[str, Any]
METRICS = ("accuracy", "loss", "brier", "ece")


@dataclass(frozen=True)
class RunComparison:
    """Two runs; `old` is the one named first. Each row of a list has `old` and `new`, None where a run has no value."""

    runs: tuple[Json, Json]  # run, profile, state, started
    configuration: list[Json]  # `key`, dotted; only differences
    data: list[Json]  # `what`: source, digests of contract and data, counts
    spans: list[Json]  # `span`, and whether it was trained on; only differences, the newest first
    overall: list[Json]  # `figure`
    slices: list[Json]  # `slice`, `difference` (new minus old), `interval`, `beyond_noise`
    names: tuple[str, ...]  # of the labels, in order; empty if the contract states none
    paired: Json | None  # see `paired_comparison`
    refusal: ConfigurationError | None  # why there is no paired comparison
    damaged: list[str]  # files that cannot be read: "metrics.json of run 3"

    def as_json(self) -> Json:
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "refusal"}
        return {**values, "unpaired": self.refusal.cause if self.refusal else None}


def compare(store: Store, lineage: Lineage, old: Json, new: Json) -> RunComparison:
    """Compares two runs of one store.

    Raises:
        ConfigurationError: the runs are the same.
    """
    if old["run"] == new["run"]:
        raise ConfigurationError(
            f"run {old['run']} cannot be compared with itself", "Name two runs; python -m pipeline runs lists them."
        )
    sides = [Evaluated(run, RunArtifacts(store, lineage.executions(run["run"]))) for run in (old, new)]
    artifacts = [side.artifacts for side in sides]
    before, after = map(_metrics, artifacts)
    paired, refusal = None, None
    try:
        paired = paired_comparison(*sides)
    except ConfigurationError as error:
        refusal = error
    keys = ("run", "profile", "state", "started")
    return RunComparison(
        runs=({key: old[key] for key in keys}, {key: new[key] for key in keys}),
        configuration=[
            row for row in _rows("key", _dotted(old["config"]), _dotted(new["config"])) if row["old"] != row["new"]
        ],
        data=_rows("what", *map(_data, artifacts)),
        spans=[row for row in reversed(_rows("span", *map(_spans, artifacts))) if row["old"] != row["new"]],
        overall=_rows("figure", before["overall"], after["overall"]),
        slices=[
            _slice(name, row, after["slices"][name])
            for name, row in before["slices"].items()
            if name in after["slices"]
        ],
        names=artifacts[1].label_names,
        paired=paired,
        refusal=refusal,
        damaged=[
            f"{file} of {side.name}" for side in sides for files in side.artifacts.damaged.values() for file in files
        ],
    )


def newcombe(old: Json, new: Json) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies, from their Wilson intervals (Newcombe 1998, method 10).

    It assumes independent test images. For the same test images the interval is too wide, never too narrow.
    """
    before, (low, high) = old["accuracy"], old["interval"]
    after, (new_low, new_high) = new["accuracy"], new["interval"]
    difference = after - before
    return difference - math.hypot(after - new_low, high - before), difference + math.hypot(
        new_high - after, before - low
    )


def _slice(name: str, old: Json, new: Json) -> Json:
    row = {
        "slice": name,
        "old": old["accuracy"],
        "new": new["accuracy"],
        "difference": None,
        "interval": None,
        "beyond_noise": False,
    }
    complete = all(each["accuracy"] is not None and None not in (each.get("interval") or [None]) for each in (old, new))
    if not complete:
        return row
    low, high = newcombe(old, new)
    return row | {
        "difference": new["accuracy"] - old["accuracy"],
        "interval": [low, high],
        "beyond_noise": not low <= 0 <= high,
    }


def _metrics(artifacts: RunArtifacts) -> Json:
    """The candidate's metrics. If the file cannot be read, accuracy and loss from the lineage."""
    metrics = (artifacts.read(Evaluation, Evaluation.metrics) or {}).get("candidate", {})
    recorded, mixture = artifacts.last(Evaluation), artifacts.last(Mixture)
    facts = {"accuracy": recorded.accuracy, "loss": recorded.loss} if recorded else {}
    overall = {name: value for name, value in (metrics.get("overall") or facts).items() if name in METRICS}
    if fresh := metrics.get("fresh"):
        overall[f"accuracy on {(mixture.fresh if mixture else '') or 'fresh images'}"] = fresh["accuracy"]
    return {"overall": overall, "slices": metrics.get("slices") or {}}


def _data(artifacts: RunArtifacts) -> Json:
    base, mixture = artifacts.first(Examples), artifacts.last(Mixture)
    digests = {"examples": artifacts.last(Examples), "statistics": (described := artifacts.last(Statistics))}
    contract = artifacts.contract
    return {
        "source": base.source if base else None,
        **({"spans trained on": len(mixture.spans)} if mixture else {}),
        **({"contract": hashlib.sha256(contract.text.encode()).hexdigest()[:12]} if contract else {}),
        **{name: artifact.digest[:12] if artifact else None for name, artifact in digests.items()},
        **({f"{split} images": count for split, count in described.counts.items()} if described else {}),
    }


def _spans(artifacts: RunArtifacts) -> Json:
    return {row["span"]: row["fate"] for row in spans.of(artifacts, artifacts.read(Admission, Admission.rows) or [])}


def _rows(name: str, old: Json, new: Json) -> list[Json]:
    return [{name: key, "old": old.get(key), "new": new.get(key)} for key in dict.fromkeys([*old, *new])]


def _dotted(config: Json, prefix: str = "") -> Json:
    flat: Json = {}
    for key, value in config.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def show(comparison: RunComparison) -> None:
    """Prints the comparison in the terminal."""
    old, new = comparison.runs
    names = [f"run {run['run']}" for run in (old, new)]
    if comparison.paired:
        colour = {"better": "bold green", "worse": "bold red"}.get(comparison.paired["verdict"], "bold")
        terminal.echo(Text.assemble((f"{names[1]}: {comparison.paired['words']}", colour)))
    run = {key: (old[key], new[key]) for key in ("profile", "state")} | {
        "started": tuple(local(r["started"]) for r in (old, new))
    }
    rows = [("run", name, *values) for name, values in run.items()]
    rows += [("settings", row["key"], row["old"], row["new"]) for row in comparison.configuration]
    rows += [("data", row["what"], row["old"], row["new"]) for row in comparison.data]
    rows += [
        ("spans", row["span"], row["old"] or "absent", row["new"] or "absent")
        for row in comparison.spans[: spans.NEWEST]
    ]
    if (more := len(comparison.spans) - spans.NEWEST) > 0:
        rows.append(("spans", f"and {more:,} more", "", ""))
    rows += [("model", row["figure"], row["old"], row["new"]) for row in comparison.overall]
    beyond = sorted((row for row in comparison.slices if row["beyond_noise"]), key=lambda row: row["difference"])
    shown = beyond[:ROWS]
    rows += [("slices", slice_title(row["slice"], comparison.names), row["old"], row["new"]) for row in shown]
    if len(beyond) > ROWS:
        rows.append(("slices", f"and {len(beyond) - ROWS:,} more", "", ""))
    table = terminal.new_table("", " ", *names)
    for n, (group, name, *values) in enumerate(rows):
        style = "dim" if values[0] == values[1] else ""
        table.add_row(
            "" if n and rows[n - 1][0] == group else group,
            *(Text(text, style) for text in (name, *map(_value_text, values))),
        )
    terminal.echo(table)
    if comparison.damaged:
        terminal.echo(Text(f"damaged: {', '.join(comparison.damaged)}", "yellow"))
    if not comparison.configuration:
        terminal.echo(Text("the settings are the same", "dim"))
    if comparison.slices:
        chance = f"; up to {by_chance:,} by chance" if (by_chance := len(comparison.slices) // 20) else ""
        counted = f"{len(beyond):,} of {len(comparison.slices):,} slices"
        terminal.echo(Text(f"{counted} differ by more than noise (95 % interval{chance})", "dim"))


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    return (
        f"{value:.4f}"
        if isinstance(value, float) and 0 < abs(value) < 10 and f"{value:.4f}" != "0.0000"
        else str(value)
    )
