"""The page of all runs: served versions, history of accuracy and gates, every run in a table; and the same as JSON.

write(gather(Store(root), lineage, root / "serving"), root / "reports")["html"]
"""

import dataclasses
import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.lineage import Lineage, now
from pipeline.report import history, spans
from pipeline.report.artifacts import Remains
from pipeline.report.facts import gate_in_words, how_passed
from pipeline.report.html import environment, save, sentence
from pipeline.report.row import Row
from pipeline.report.times import local
from pipeline.serving import ModelDirectory
from pipeline.store import Store
from schemas.errors import StoreError
from schemas.settings.source import data_set_name

NEWEST = 50  # runs that stand in the open; the older ones are folded
Json = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """What the serving directory offers under one name. `run` is None where this store did not push it."""

    model: str
    version: int | None
    accuracy: float | None
    since: str | None
    run: int | None
    trouble: str = ""  # why it cannot be read


@dataclass(frozen=True)
class Index:
    """All runs, the newest first."""

    served: list[Served]
    rows: list[Row]
    written: str

    @property
    def headline(self) -> str:
        standing = [each for each in self.served if each.version is not None]
        if not standing:
            return "Nothing is served yet."
        if len(standing) == 1:
            since = f", since {local(standing[0].since)[:10]}" if standing[0].since else ""
            return f"{standing[0].model} serves version {standing[0].version}{since}."
        return f"{len(standing)} models are served."

    def count(self, *states: str) -> int:
        return sum(row.state in states for row in self.rows)

    def as_json(self) -> Json:
        return {"headline": self.headline} | dataclasses.asdict(self)


def gather(store: Store, lineage: Lineage, serving_dir: Path) -> Index:
    """The facts of all runs, from the lineage, the evaluations that still stand, and the serving directory."""
    runs = lineage.runs()
    stages = {run["run"]: {e["stage"]: e for e in lineage.executions(run["run"])} for run in runs}
    rows: list[Row] = []
    known: dict[str, set[str]] = {}  # by model: the spans that were there when it was served
    for run in reversed(runs):
        seen = known.setdefault(_model(run), set())
        rows.append(_row(run, Remains(store, list(stages[run["run"]].values())), store, seen))
        if run["state"] in ("pushed", "unchanged") and "collect" in stages[run["run"]]:
            seen.update((stages[run["run"]]["collect"]["facts"] or {}).get("spans", {}))
    return Index(list(_served(serving_dir, runs, stages)), rows[::-1], now())


def _row(run: Json, remains: Remains, store: Store, known: set[str]) -> Row:
    facts = {name: stage["facts"] or {} for name, stage in remains.stages.items()}
    finished = run["finished"]
    report = store.root / "reports" / f"run-{run['run']}.html"
    gates = [gate_in_words(gate) for gate in remains.json("evaluate", "gates.json", [])]
    comparisons = remains.json("evaluate", "comparisons.json", [])
    version = facts.get("push", {}).get("version")
    return Row(
        run=run["run"],
        profile=run["profile"],
        model=_model(run),
        state=run["state"],
        started=run["started"],
        seconds=_seconds(run["started"], finished) if finished else None,
        accuracy=facts.get("evaluate", {}).get("accuracy"),
        version=version,
        gates=_gates(facts, gates),
        why=_why(run, version, comparisons, how_passed(gates)),
        report=report.name if report.exists() else None,
        damaged=remains.damaged.get("evaluate", []),
        new=spans.new(spans.of(facts, []), known),
    )


def _seconds(started: str, finished: str) -> float:
    return (datetime.datetime.fromisoformat(finished) - datetime.datetime.fromisoformat(started)).total_seconds()


def _gates(facts: Json, judged: list[Json]) -> dict[str, str]:
    """The verdict of each gate: refused if it refused any slice. Gates on data first, then evaluation, then serving."""
    verdicts: dict[str, set[str]] = {}
    for gate in judged:
        verdicts.setdefault(gate["gate"], set()).add(gate["verdict"])
    order = ("refused", "passed", "too few examples")
    found = {name: next((verdict for verdict in order if verdict in seen), "passed") for name, seen in verdicts.items()}
    stages = {"spans": "admit", "data": "validate", "serving": "check_serving"}
    said = {
        name: facts[stage]["passed"] for name, stage in stages.items() if facts.get(stage, {}).get("passed") is not None
    }
    ends = {name: "passed" if passed else "refused" for name, passed in said.items()}
    last = {name: ends.pop(name) for name in ("serving",) if name in ends}
    return ends | found | last


def _why(run: Json, version: int | None, comparisons: list[Json], passed: str) -> str:
    if run["message"]:
        return sentence(run["message"].split("\n")[0].split(": ", 1)[-1])
    if run["state"] == "unchanged":
        return f"Version {version} already holds this model."
    if run["state"] == "pushed":
        return sentence(next((each["words"] for each in comparisons if each["with"] == "baseline"), passed))
    return ""


def _model(run: Json) -> str:
    config = run["config"]
    named = (config.get("push") or {}).get("model")
    return str(named or (data_set_name(config["source"]["tfds"]) if "source" in config else run["profile"]))


def _served(serving_dir: Path, runs: list[Json], stages: dict[int, Json]) -> Iterator[Served]:
    """The latest version of each model, and the run of this store that pushed it: same model, number and digest."""
    pushed = {}
    for run in runs:
        push = stages[run["run"]].get("push")
        if push and (push["facts"] or {}).get("new"):
            pushed[_model(run), push["facts"]["version"], push["digest"]] = run
    folders = (
        sorted(p.name for p in serving_dir.iterdir() if not p.name.startswith(".")) if serving_dir.is_dir() else []
    )
    for name in folders:
        try:
            version = ModelDirectory(serving_dir, name).latest()
        except StoreError as error:
            yield Served(name, None, None, None, None, error.cause)
            continue
        if version is not None:
            by = pushed.get((name, version.origin, version.digest), {})  # a rollback publishes what was pushed before
            since = version.provenance.get("published") or by.get("finished") or by.get("started")
            yield Served(name, version.number, version.provenance.get("accuracy"), since, by.get("run"))


def write(index: Index, folder: Path) -> dict[str, Path]:
    """Writes `index.html` and `index.json`; their paths by kind. All but the plots, our own SVG, is escaped."""
    page = environment()
    page.filters |= {"local": lambda moment: local(moment)[:16], "lasted": lasted}  # to the minute
    models = dict.fromkeys(row.model for row in index.rows if row.accuracy is not None)
    plots = {
        model: Markup(history.plot([row for row in reversed(index.rows) if row.model == model])) for model in models
    }
    texts = {
        "html": page.get_template("index.html.j2").render(index=index, plots=plots, newest=NEWEST),
        "json": json.dumps(index.as_json(), indent=2) + "\n",
    }
    return {kind: save(folder / f"index.{kind}", text) for kind, text in texts.items()}


def lasted(seconds: float | None) -> str:
    """A duration for people: "0.7 s", "1 min 3 s", "2 h 5 min"; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
