"""Two runs side by side: differences of configuration and data, differences of metrics beyond noise, and which model
is better on the same images.

found = beside(Store(root), lineage, lineage.run(3), lineage.run(7))
found.paired["words"]    # "0.31 points better than run 3 (...)"
"""

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etils import epy
from rich.text import Text

from components._evaluation import paired
from pipeline.lineage import Lineage
from pipeline.report import spans, terminal
from pipeline.report.artifacts import Remains
from pipeline.report.times import local
from pipeline.store import Store
from schemas.contract import slice_title
from schemas.errors import ConfigurationError
from schemas.gates.paired import Paired

with epy.lazy_imports():
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

Json = dict[str, Any]
FIGURES = ("accuracy", "loss", "brier", "ece")


@dataclass(frozen=True)
class Beside:
    """Two runs; `old` is the one named first. Each row of a list has `old` and `new`, None where a run has no value."""

    runs: tuple[Json, Json]  # run, profile, state, started
    configuration: list[Json]  # `key`, dotted; only what differs
    data: list[Json]  # `what`: source, digests of contract and data, counts
    spans: list[Json]  # `span`, and what became of it; only what differs, the newest first
    overall: list[Json]  # `figure`
    slices: list[Json]  # `slice`, `difference` (new minus old), `interval`, `beyond_noise`
    names: tuple[str, ...]  # what the labels are called, in their order; empty where the contract does not say
    paired: Json | None  # `components._evaluation.paired.Comparison` of new with old, and its words
    refusal: ConfigurationError | None  # why there is no paired comparison
    damaged: list[str]  # files that cannot be read: "metrics.json of run 3"

    def as_json(self) -> Json:
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "refusal"}
        return {**found, "unpaired": self.refusal.cause if self.refusal else None}


def beside(store: Store, lineage: Lineage, old: Json, new: Json) -> Beside:
    """The comparison of two runs of one store.

    Raises:
        ConfigurationError: they are the same run.
    """
    if old["run"] == new["run"]:
        raise ConfigurationError(
            f"run {old['run']} stands on both sides", "Name two runs; python -m pipeline runs lists them."
        )
    remains = Remains(store, lineage.executions(old["run"])), Remains(store, lineage.executions(new["run"]))
    before, after = map(_figures, remains)
    try:
        paired, refusal = _in_pairs((old, new), remains), None
    except ConfigurationError as error:
        paired, refusal = None, error
    keys = ("run", "profile", "state", "started")
    return Beside(
        runs=({key: old[key] for key in keys}, {key: new[key] for key in keys}),
        configuration=[
            row for row in _rows("key", _dotted(old["config"]), _dotted(new["config"])) if row["old"] != row["new"]
        ],
        data=_rows("what", *map(_data, remains)),
        spans=[row for row in reversed(_rows("span", *map(_spans, remains))) if row["old"] != row["new"]],
        overall=_rows("figure", before["overall"], after["overall"]),
        slices=[
            _slice(name, row, after["slices"][name])
            for name, row in before["slices"].items()
            if name in after["slices"]
        ],
        names=remains[1].names,
        paired=paired,
        refusal=refusal,
        damaged=[
            f"{file} of run {run['run']}"
            for run, each in zip((old, new), remains, strict=True)
            for found in each.damaged.values()
            for file in found
        ],
    )


def newcombe(old: Json, new: Json) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies, from their Wilson intervals (Newcombe 1998, method 10).

    It assumes independence. On the same images they are not independent, and the interval is too wide, never too
    narrow.
    """
    before, (low, high) = old["accuracy"], old["interval"]
    after, (lowest, highest) = new["accuracy"], new["interval"]
    difference = after - before
    return difference - math.hypot(after - lowest, high - before), difference + math.hypot(
        highest - after, before - low
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
    known = all(each["accuracy"] is not None and None not in (each.get("interval") or [None]) for each in (old, new))
    if not known:
        return row
    low, high = newcombe(old, new)
    return row | {
        "difference": new["accuracy"] - old["accuracy"],
        "interval": [low, high],
        "beyond_noise": not low <= 0 <= high,
    }


def _figures(remains: Remains) -> Json:
    """The candidate's metrics; where they cannot be read, what the lineage recorded."""
    facts = remains.stages.get("evaluate", {}).get("facts") or {}
    metrics = remains.json("evaluate", "metrics.json", {}).get("candidate", {})
    overall = {name: value for name, value in (metrics.get("overall") or facts).items() if name in FIGURES}
    if fresh := metrics.get("fresh"):
        overall[f"accuracy on {remains.stages.get('mix', {}).get('facts', {}).get('fresh') or 'fresh images'}"] = fresh[
            "accuracy"
        ]
    return {"overall": overall, "slices": metrics.get("slices") or {}}


def _data(remains: Remains) -> Json:
    stages, described = remains.stages, remains.described
    facts = {name: stage["facts"] or {} for name, stage in stages.items()}
    made = {"examples": described if described == "mix" else "ingest", "statistics": described}
    digests = {name: (stages.get(stage, {}).get("digest") or "")[:12] or None for name, stage in made.items()}
    counts = {f"{split} images": count for split, count in facts.get(described, {}).get("counts", {}).items()}
    learnt = {"spans trained on": len(facts["mix"]["spans"])} if described == "mix" else {}
    contract = {"contract": hashlib.sha256(found.text.encode()).hexdigest()[:12]} if (found := remains.contract) else {}
    return {"source": facts.get("ingest", {}).get("source"), **learnt, **contract, **digests, **counts}


def _spans(remains: Remains) -> Json:
    facts = {name: stage["facts"] for name, stage in remains.stages.items()}
    return {row["span"]: row["fate"] for row in spans.of(facts, remains.json("admit", "spans.json", []))}


def _rows(name: str, old: Json, new: Json) -> list[Json]:
    return [{name: key, "old": old.get(key), "new": new.get(key)} for key in dict.fromkeys([*old, *new])]


def _dotted(config: Json, prefix: str = "") -> Json:
    found: Json = {}
    for key, value in config.items():
        found |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def _in_pairs(runs: tuple[Json, Json], remains: tuple[Remains, Remains]) -> Json:
    """The paired comparison as JSON values, on the test images that neither run saw in train.

    Raises:
        ConfigurationError: an evaluation is absent, gone or damaged, or they are of other test images.
    """
    predictions = [_predictions(run, each) for run, each in zip(runs, remains, strict=True)]
    numbers = f"runs {runs[0]['run']} and {runs[1]['run']}"
    other = ConfigurationError(
        f"{numbers} were not evaluated on the same test images", "Compare runs of the same dataset and splits."
    )
    if not _same_test_data(*remains):
        raise other
    leaked = [index for run, each in zip(runs, remains, strict=True) for index in _leaked(run, each)]
    (images, before), (again, after) = (_right(run, path, leaked) for run, path in zip(runs, predictions, strict=True))
    if not len(images) or not np.array_equal(images, again):
        raise other
    settings = Paired.model_validate((runs[1]["config"].get("gates") or {}).get("paired") or {})
    found = paired.compare(after, before, margin=settings.margin, alpha=settings.alpha)
    return {
        **dataclasses.asdict(found),
        "interval": list(found.interval),
        "words": found.words(f"run {runs[0]['run']}"),
    }


def _predictions(run: Json, remains: Remains) -> Path:
    if not remains.stages.get("evaluate", {}).get("path"):
        raise ConfigurationError(
            f"run {run['run']} has no evaluation: it ended as {run['state']}", "Name a run that came to the gates."
        )
    path = remains.path("evaluate")
    if path is None or not (path / "predictions").is_dir():
        lost = "is gone from the store, or was made again since" if "evaluate" in remains.missing else "is damaged"
        cause = f"the evaluation of run {run['run']} {lost}"
        raise ConfigurationError(cause, f"Make it again: {run['command']}")
    return path / "predictions"


def _same_test_data(old: Remains, new: Remains) -> bool:
    """Whether the test shards are the same, byte for byte; for deleted artifacts, whether all of the data is."""
    if not ("ingest" in old.stages and "ingest" in new.stages):
        return False
    manifests = [each.manifest("ingest") for each in (old, new)]
    shards = [
        [f["sha256"] for name, f in sorted((m or {}).get("files", {}).items()) if name.startswith("test-")]
        for m in manifests
    ]
    return (
        shards[0] == shards[1]
        if all(shards)
        else bool(old.stages["ingest"]["digest"] == new.stages["ingest"]["digest"])
    )


def _leaked(run: Json, remains: Remains) -> list[int]:
    found: list[int] = remains.json(remains.described, "leaked.json", [])
    if "leaked.json" in remains.damaged.get(
        remains.described, ()
    ):  # to count such images in would favour who learnt them by heart
        cause = f"leaked.json of run {run['run']} cannot be read: which test images it also had in train is not known"
        raise ConfigurationError(cause, f"Make it again: {run['command']} --force {remains.described}")
    return found


def _right(run: Json, predictions: Path, leaked: list[int]) -> "tuple[np.ndarray, np.ndarray]":
    """Indices of the images in order, int64 [n], and whether the answer was right, bool [n]."""
    try:
        table = pq.read_table(predictions, columns=["index", "label", "probabilities"])
    except (OSError, pa.ArrowException) as error:
        cause = f"the predictions of run {run['run']} cannot be read: {str(error).splitlines()[0]}"
        raise ConfigurationError(cause, f"Make them again: {run['command']} --force evaluate") from None
    indices, column = table["index"].to_numpy(), table["probabilities"].combine_chunks()
    probabilities = column.values.to_numpy(zero_copy_only=False).reshape(len(indices), -1)
    right = (probabilities.argmax(1) == table["label"].to_numpy()) & np.isfinite(probabilities).all(1)
    order = np.argsort(indices)
    order = order[~np.isin(indices[order], leaked)]
    return indices[order], right[order]


def show(found: Beside) -> None:
    """The comparison in the terminal."""
    old, new = found.runs
    names = [f"run {run['run']}" for run in (old, new)]
    if found.paired:
        colour = {"better": "bold green", "worse": "bold red"}.get(found.paired["verdict"], "bold")
        terminal.say(Text.assemble((f"{names[1]}: {found.paired['words']}", colour)))
    run = {key: (old[key], new[key]) for key in ("profile", "state")} | {
        "started": tuple(local(r["started"]) for r in (old, new))
    }
    rows = [("run", name, *values) for name, values in run.items()]
    rows += [("settings", row["key"], row["old"], row["new"]) for row in found.configuration]
    rows += [("data", row["what"], row["old"], row["new"]) for row in found.data]
    rows += [
        ("spans", row["span"], row["old"] or "absent", row["new"] or "absent") for row in found.spans[: spans.NEWEST]
    ]
    if (more := len(found.spans) - spans.NEWEST) > 0:
        rows.append(("spans", f"and {more:,} more", "", ""))
    rows += [("model", row["figure"], row["old"], row["new"]) for row in found.overall]
    beyond = [row for row in found.slices if row["beyond_noise"]]
    rows += [("slices", slice_title(row["slice"], found.names), row["old"], row["new"]) for row in beyond]
    table = terminal.new_table("", " ", *names)
    for n, (group, name, *values) in enumerate(rows):
        style = "dim" if values[0] == values[1] else ""
        table.add_row(
            "" if n and rows[n - 1][0] == group else group,
            *(Text(text, style) for text in (name, *map(_shown, values))),
        )
    terminal.say(table)
    if found.damaged:
        terminal.say(Text(f"damaged: {', '.join(found.damaged)}", "yellow"))
    if not found.configuration:
        terminal.say(Text("settings do not differ", "dim"))
    if found.slices:
        terminal.say(
            Text(f"{len(beyond)} of {len(found.slices)} slices differ by more than noise (95 % interval)", "dim")
        )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return (
        f"{value:.4f}"
        if isinstance(value, float) and 0 < abs(value) < 10 and f"{value:.4f}" != "0.0000"
        else str(value)
    )
